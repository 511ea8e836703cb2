package bucket

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

// TestRules reads the rules of buckets from the answers of a server, as AWS documents them.
func TestRules(t *testing.T) {
	s3test.Env(t)
	const begin, end = `<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>a</ID>`, `</Rule></LifecycleConfiguration>`
	for _, tt := range []struct {
		name       string
		versioning string
		status     int
		lifecycle  string
		want       Rules
		err        error
	}{
		{"none", "", 404, `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`, Rules{}, nil},
		{"versions", "<Status>Enabled</Status>", 404, `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`, Rules{Versions: true}, nil},
		{"expiration of all", "", 200, begin + `<Status>Enabled</Status><Filter><Prefix></Prefix></Filter><Expiration><Days>30</Days></Expiration>` + end, Rules{Expires: true}, nil},
		{"switched off", "", 200, begin + `<Status>Disabled</Status><Filter><Prefix></Prefix></Filter><Expiration><Days>30</Days></Expiration>` + end, Rules{}, nil},
		{"another prefix", "", 200, begin + `<Status>Enabled</Status><Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>30</Days></Expiration>` + end, Rules{}, nil},
		{"a part of the store", "", 200, begin + `<Status>Enabled</Status><Filter><Prefix>archive/slides/</Prefix></Filter><Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>` + end, Rules{Archives: true}, nil},
		{"tags", "", 200, begin + `<Status>Enabled</Status><Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Expiration><Days>30</Days></Expiration>` + end, Rules{}, nil},
		{"recommended", "<Status>Enabled</Status>", 200, begin + `<Status>Enabled</Status><Filter></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>8</DaysAfterInitiation></AbortIncompleteMultipartUpload><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>` + end, Rules{Versions: true, Aborts: true, Forgets: true}, nil},
		{"no permission", "", 403, `<Error><Code>AccessDenied</Code></Error>`, Rules{}, ErrUnknown},
		{"no such request", "", 501, `<Error><Code>NotImplemented</Code></Error>`, Rules{}, ErrUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				if r.URL.Query().Has("versioning") {
					w.Write([]byte(`<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + tt.versioning + `</VersioningConfiguration>`))
					return
				}
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.lifecycle))
			}))
			defer server.Close()
			b := open(t, server.URL, "s3://slides/archive", Settings{})
			got, err := b.Rules(t.Context())
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v; (-want +got):\n%s", err, tt.err, diff)
			}
		})
	}
}
