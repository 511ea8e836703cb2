package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	tests := []struct {
		name, events, want string
		ok                 bool
	}{
		{
			name: "a pass, a skip, a package without tests",
			events: `{"Action":"output","Package":"m/a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"pass","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestY","Output":"    a_test.go:5: no scanner: plug it in\n"}
{"Action":"output","Package":"m/a","Test":"TestY","Output":"--- SKIP: TestY (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestY"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/b","Output":"?   \tm/b\t[no test files]\n"}
{"Action":"skip","Package":"m/b"}
`,
			want: "ok  \tm/a\t0.1s\n?   \tm/b\t[no test files]\n" +
				"skipped: no scanner: plug it in\n         a.TestY\n1 passed, 0 failed, 1 skipped in 2 packages\n",
			ok: true,
		},
		{
			name: "a failure",
			events: `{"Action":"output","Package":"m/a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"    a_test.go:5: got 1, want 2\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"--- FAIL: TestX (0.00s)\n"}
{"Action":"fail","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Output":"FAIL\n"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a"}
`,
			want: "    a_test.go:5: got 1, want 2\n--- FAIL: TestX (0.00s)\nFAIL\tm/a\t0.1s\n0 passed, 1 failed",
		},
		{
			name: "a race in the output of a test beside the one that it fails",
			events: `{"Action":"output","Package":"m/a","Test":"TestX","Output":"=== NAME  TestX\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"WARNING: DATA RACE\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"Read at 0x00c000965590 by goroutine 701:\n"}
{"Action":"pass","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestY","Output":"    testing.go:1712: race detected during execution of test\n"}
{"Action":"output","Package":"m/a","Test":"TestY","Output":"--- FAIL: TestY (0.00s)\n"}
{"Action":"fail","Package":"m/a","Test":"TestY"}
`,
			want: "WARNING: DATA RACE\nRead at 0x00c000965590 by goroutine 701:\n    testing.go:1712: race detected during execution of test\n--- FAIL: TestY (0.00s)\n1 passed, 1 failed",
		},
		{
			name: "does not compile",
			events: `{"ImportPath":"m/a","Action":"build-output","Output":"a.go:3:1: syntax error\n"}
{"ImportPath":"m/a","Action":"build-fail"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}
{"Action":"fail","Package":"m/a"}
`,
			want: "a.go:3:1: syntax error\nFAIL\tm/a [build failed]\n0 passed",
		},
		{
			name: "a test that ends the process",
			events: `{"Action":"output","Package":"m/a","Test":"TestX","Output":"panic: oh\n"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a"}
`,
			want: "FAIL\tm/a\t0.1s\n--- FAIL: TestX did not end\npanic: oh\n0 passed, 1 failed",
		},
		{
			name:   "nothing but words",
			events: "go: cannot find main module\n",
			want:   "go: cannot find main module\n0 passed",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			ok, _, err := report(&b, strings.NewReader(tt.events))
			if got := b.String(); err != nil || ok != tt.ok || !strings.HasPrefix(got, tt.want) {
				t.Errorf("report gives %v, %v and\n%s\nwant %v and\n%s", ok, err, got, tt.ok, tt.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	events := `{"Action":"pass","Package":"m/a","Elapsed":12.34}
{"Action":"skip","Package":"m/b","Elapsed":0}
{"Action":"fail","Package":"m/c","Elapsed":1}
`
	_, times, err := report(io.Discard, strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "times")
	for _, suite := range []string{"", "raced"} {
		if err := addTimes(file, suite, times); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	want := "   12.3  m/a  \n    1.0  m/c  \n   12.3  m/a  raced\n    1.0  m/c  raced\n"
	if string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
