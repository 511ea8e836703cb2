package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// exportPage is the number of events that the export reads at a time.
const exportPage = 500

// An auditExport writes the audit log, page by page.
type auditExport struct {
	api    auditAPI
	filter account.EventFilter
	names  *namer
	jsonl  bool

	page   []account.Event
	cursor string // of the next page; "" after the last
}

func (x *auditExport) next(ctx context.Context) (err error) {
	x.page, x.cursor, err = x.api.Access.Accounts.Audit.List(ctx, x.filter, x.cursor)
	return err
}

// exportedEvent is an event as a JSON line.
type exportedEvent struct {
	auditEvent
	Images []string `json:"images"`
}

// auditColumns are the columns of the CSV file.
var auditColumns = []string{"n", "at", "user", "user_name", "act", "object", "object_name", "from", "outcome", "detail", "images"}

// write writes the page that was read, and all further ones.
func (x *auditExport) write(ctx context.Context, w io.Writer) error {
	b := bufio.NewWriter(w)
	lines, table := json.NewEncoder(b), csv.NewWriter(b)
	table.UseCRLF = true
	if !x.jsonl {
		if _, err := b.WriteString("\ufeff"); err != nil { // spreadsheets else take it for Latin-1
			return err
		}
		if err := table.Write(auditColumns); err != nil {
			return err
		}
	}
	for {
		items, err := x.api.show(ctx, x.page, x.names)
		if err != nil {
			return err
		}
		for i := range items {
			images := x.page[i].Images
			if x.jsonl {
				err = lines.Encode(exportedEvent{items[i], append([]string{}, images...)})
			} else {
				err = table.Write(items[i].row(images))
			}
			if err != nil {
				return err
			}
		}
		table.Flush()
		if err := table.Error(); err != nil || x.cursor == "" {
			return cmp.Or(err, b.Flush())
		}
		if err := x.next(ctx); err != nil {
			return err
		}
	}
}

// row returns the cells of an event.
func (e *auditEvent) row(images []string) []string {
	outcome := "refused"
	if e.Allowed {
		outcome = "allowed"
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	var objects []string
	for id := range strings.FieldsSeq(text(e.Object)) {
		if name := e.Names[id]; name != "" {
			objects = append(objects, name)
		}
	}
	cells := []string{
		strconv.FormatInt(e.N, 10), e.At.Format(time.RFC3339Nano), text(e.User), e.Names[text(e.User)], e.Act, text(e.Object), strings.Join(objects, ", "),
		text(e.From), outcome, text(e.Detail), strings.Join(images, " "),
	}
	for i := range cells {
		cells[i] = inertCell(cells[i])
	}
	return cells
}

// inertCell returns the text of a cell so that no spreadsheet takes it for a formula: names
// and details may come from an attacker.
func inertCell(s string) string {
	if strings.TrimLeft(s, " ") != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(strings.TrimLeft(s, " ")[0])) {
		return "'" + s
	}
	return s
}
