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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// TestOrthanc has Orthanc send a series.
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
