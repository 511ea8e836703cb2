package dicomweb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// TestOrthanc has Orthanc receive the files of a series, show their attributes and a frame through its
// own DICOMweb, and send them here.
func TestOrthanc(t *testing.T) {
	t.Parallel()
	const plugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
	if _, err := os.Stat(plugin); err != nil {
		t.Skip("no Orthanc with DICOMweb (Debian: orthanc-dicomweb)")
	}
	s := newStation(t, nil)
	url := startOrthanc(t, plugin, s.url+"/dicom-web/")
	for _, f := range s.files {
		orthanc(t, url+"/instances", f)
	}
	var series []string
	if err := json.Unmarshal(orthanc(t, url+"/series", nil), &series); err != nil || len(series) != 1 {
		t.Fatal(series, err)
	}
	s.compare(url + "/dicom-web/studies/" + s.study + "/series/" + s.series)
	orthanc(t, url+"/dicom-web/servers/ours/stow", fmt.Appendf(nil, `{"Resources":[%q]}`, series[0]))
	var places []string
	for i := range s.names {
		places = append(places, s.place(i))
	}
	slices.Sort(places)
	if diff := cmp.Diff(places, s.stored()); diff != "" {
		t.Error(diff)
	}
}

// compare compares what Orthanc says of a series with what it was exported from.
func (s *station) compare(url string) {
	s.t.Helper()
	var theirs []map[string]any
	if err := json.Unmarshal(orthanc(s.t, url+"/metadata", nil), &theirs); err != nil {
		s.t.Fatal(err)
	}
	got, want := map[string]any{}, map[string]any{}
	for _, o := range theirs {
		got[o["00080018"].(map[string]any)["Value"].([]any)[0].(string)] = plain(o)
	}
	for i, text := range s.attributes {
		var o map[string]any
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			s.t.Fatal(err)
		}
		want[s.names[i]] = plain(o)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("attributes (-ours +Orthanc's):\n%s", diff)
	}
	parts := bytes.SplitN(orthanc(s.t, url+"/instances/"+s.names[0]+"/frames/2", nil), []byte("\r\n\r\n"), 2)
	if len(parts) != 2 || !bytes.HasPrefix(parts[1], s.frame) {
		s.t.Errorf("frame 2 of Orthanc is not the %d bytes of ours: %.200q", len(s.frame), parts)
	}
}

// plain returns an object of the JSON model without what Orthanc writes in another way: it sends values in
// bulk at other addresses, leaves out sequences with one empty item, and has more digits of a
// float32 than its value needs.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if k == "BulkDataURI" || k == "InlineBinary" || k == "7FE00010" || cmp.Equal(e, emptyItem) {
				continue
			}
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case float64:
		return float32(v)
	}
	return v
}

// emptyItem is a sequence with one empty item.
var emptyItem = any(map[string]any{"vr": "SQ", "Value": []any{map[string]any{}}})

// startOrthanc starts Orthanc with one DICOMweb server to send to, and returns its address.
func startOrthanc(t *testing.T, plugin, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	config, err := json.Marshal(map[string]any{
		"StorageDirectory": dir, "IndexDirectory": dir, "HttpPort": port, "DicomServerEnabled": false, "RemoteAccessAllowed": false,
		"AuthenticationEnabled": false, "Plugins": []string{plugin},
		"DicomWeb": map[string]any{"Enable": true, "Servers": map[string]any{"ours": map[string]string{"Url": to}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "orthanc.json")
	if err := fsx.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("Orthanc", path)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("Orthanc: %s", log.Bytes())
		}
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url + "/system")
		if err == nil {
			resp.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// orthanc sends a request to Orthanc: POST if there is a body.
func orthanc(t *testing.T, url string, body []byte) []byte {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(url, "/frames/") {
		r.Header.Set("Accept", `multipart/related; type="application/octet-stream"; transfer-syntax=*`)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s %s %v", url, resp.Status, b, err)
	}
	return b
}
