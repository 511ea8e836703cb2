package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sendTime is the timeout for sending a batch.
const sendTime = 10 * time.Second

// A sender sends spans by OTLP over HTTP. The library's own client would add gRPC, a
// fifth of the program's size.
type sender struct {
	url    string
	header http.Header
	client *http.Client
}

// newSender returns a sender to the collector of the flag or the environment, or nil if
// no collector is configured.
func newSender(flag string) (*sender, error) {
	to, err := endpoint(flag)
	if to == "" || err != nil {
		return nil, err
	}
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("invalid URL of the trace collector: use one such as http://127.0.0.1:4318")
	}
	s := &sender{url: to, header: http.Header{"Content-Type": {"application/x-protobuf"}}, client: &http.Client{Timeout: sendTime}}
	list := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS")
	if list == "" {
		list = os.Getenv("OTEL_EXPORTER_OTLP_HEADERS")
	}
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		if value, err = url.PathUnescape(strings.TrimSpace(value)); !found || err != nil {
			return nil, errors.New("invalid OTEL_EXPORTER_OTLP_HEADERS: write name=value,name=value")
		}
		s.header.Add(strings.TrimSpace(name), value)
	}
	return s, nil
}

// Start implements [otlptrace.Client].
func (*sender) Start(context.Context) error { return nil }

// Stop implements [otlptrace.Client].
func (s *sender) Stop(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements [otlptrace.Client]. It does not retry: lost spans are not
// important enough.
func (s *sender) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData has the same encoding as an ExportTraceServiceRequest.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("cannot encode spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("invalid URL of the trace collector: %w", err)
	}
	req.Header = s.header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the trace collector: %w", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be reused
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the trace collector at %s answered with status %d", req.URL.Host, resp.StatusCode)
	}
	return nil
}
