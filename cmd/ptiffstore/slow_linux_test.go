package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// slowClients opens 300 connections that send only part of a body to one path, and 300 that
// do not read the answer of another path, half of them from one address. It fails the test
// if the server closes one.
func slowClients(t *testing.T, s *running, post, get string) {
	t.Helper()
	dial := func(i int, request string) {
		from := net.IPv4(127, 0, 0, 7)
		if i%2 == 1 {
			from = net.IPv4(127, 0, 1, byte(1+i%50))
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
		c, err := d.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.(*net.TCPConn).SetReadBuffer(4096)
		io.WriteString(c, request)
	}
	for i := range 300 {
		dial(i, "POST "+post+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		dial(i, "GET "+get+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
}

// TestSlowClients checks that pages, lists, images and login work while 300 clients without
// a login send slowly and 300 read nothing.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": philips})
	o := &office{t, t.TempDir()}
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-admin-link")
	o.says(goodPassword+"\n", "user", "add", "anna", "--admin")
	token := "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")
	store := storeOf(t, s, token)
	slowClients(t, s, "/api/v1/auth/login", "/openapi.json")
	for range 20 {
		for _, path := range []string{"/", "/docs", "/openapi.json", "/healthz", "/metrics", "/api/v1/stores", "/api/v1/images", "/api/v1/stores/" + store, "/api/v1/auth/session"} {
			if a := s.get(path, "Authorization", token); a.status != http.StatusOK {
				t.Fatalf("%s: status %d, %s", path, a.status, a.body)
			}
		}
	}
	resp, err := s.client.Post(s.url+"/api/v1/auth/login", "application/json", strings.NewReader(fmt.Sprintf(`{"name":"anna","password":%q}`, goodPassword)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Errorf("login: status %d", resp.StatusCode)
	}
}

func TestSlowClientsOfTileserver(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	s, _ := serving(t, map[string]*slideFile{"a.tiff": philips}, "--data", data)
	ts := beside(t, data)
	im := s.available("a.tiff")
	preview := "/api/v1/images/" + im.ID + "/preview"
	ts.until("the preview", func() bool { return ts.get(preview).status == http.StatusOK })
	slowClients(t, ts, "/api/v1/auth/revoke", preview)
	for range 20 {
		for _, path := range []string{"/readyz", "/metrics", preview, "/dzi/" + im.ID + ".dzi", "/api/v1/images/" + im.ID + "/tiles/0/0/0"} {
			if a := ts.get(path); a.status != http.StatusOK {
				t.Fatalf("%s: status %d, %s", path, a.status, a.body)
			}
		}
	}
}

// TestConnectionsPerAddress opens too many connections from one address: the server closes
// older ones of that address and serves new ones. It does not limit a trusted proxy.
func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"serve", "tileserver"} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, mode, "--data", newCatalog(t), "--auth", "local", "--max-connections-per-address", "10", "--trusted-proxy", "127.0.3.3")
			ask := func(from net.IP) net.Conn {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
				c, err := d.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("from %v: %v, %v", from, resp, err)
				}
				return c
			}
			closed := func(c net.Conn) bool {
				c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, err := io.Copy(io.Discard, c)
				return err == nil
			}
			var one, proxy []net.Conn
			for range 30 {
				one = append(one, ask(net.IPv4(127, 0, 2, 2)))
				proxy = append(proxy, ask(net.IPv4(127, 0, 3, 3)))
			}
			await(t, "the first twenty are closed", func() bool {
				n := 0
				for _, c := range one {
					if closed(c) {
						n++
					}
				}
				return n == 20
			})
			for _, c := range proxy {
				if closed(c) {
					t.Fatal("a connection of the trusted proxy was closed")
				}
			}
		})
	}
}
