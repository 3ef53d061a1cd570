package kes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/objseal/objseal/kms"
)

// maxLogLine is the longest line of a log that is read, in bytes.
const maxLogLine = 64 << 10

// AuditEvent is a request that changed a key: servers audit successful create,
// import and delete calls (KES spec section 1.7).
type AuditEvent struct {
	Endpoint string // https://host:port, the server that tells it
	Time     time.Time
	IP       string // of the client
	Path     string
	Identity string
	Status   int // HTTP status
	Duration time.Duration
}

// ErrorEvent is a line of a server's error log.
type ErrorEvent struct {
	Endpoint string // https://host:port, the server that tells it
	Message  string // with control characters escaped, and cut
}

// AuditLog follows the audit logs of all servers until ctx ends, which ends the
// sequence without an error. A server that cannot be followed any more is told
// by an error, once; the others go on. Servers v0.24 never send an event,
// whatever happens.
func (b *Backend) AuditLog(ctx context.Context) iter.Seq2[AuditEvent, error] {
	return follow(ctx, b, opAuditLog, func(e *endpoint, line []byte) (event AuditEvent, err error) {
		var v struct {
			Time     time.Time
			Request  struct{ IP, Path, Identity string }
			Response struct {
				Code int
				Time int64 // milliseconds
			}
		}
		if json.Unmarshal(line, &v) != nil {
			return AuditEvent{}, errBadAnswer
		}
		return AuditEvent{
			Endpoint: e.String(),
			Time:     v.Time,
			IP:       printable(v.Request.IP),
			Path:     printable(v.Request.Path),
			Identity: printable(v.Request.Identity),
			Status:   v.Response.Code,
			Duration: time.Duration(v.Response.Time) * time.Millisecond,
		}, nil
	})
}

// ErrorLog follows the error logs of all servers, as AuditLog does.
func (b *Backend) ErrorLog(ctx context.Context) iter.Seq2[ErrorEvent, error] {
	return follow(ctx, b, opErrorLog, func(e *endpoint, line []byte) (ErrorEvent, error) {
		var v struct{ Message string }
		if json.Unmarshal(line, &v) != nil {
			return ErrorEvent{}, errBadAnswer
		}
		return ErrorEvent{Endpoint: e.String(), Message: printableTo(v.Message, 4<<10)}, nil
	})
}

// follow merges the logs of all servers. No goroutine of it outlives the loop.
func follow[T any](ctx context.Context, b *Backend, op operation, parse func(*endpoint, []byte) (T, error)) iter.Seq2[T, error] {
	type item struct {
		event T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		items := make(chan item)
		var readers sync.WaitGroup
		for _, e := range b.endpoints {
			readers.Go(func() {
				send := func(i item) {
					select {
					case items <- i:
					case <-ctx.Done():
					}
				}
				err := b.readLog(ctx, e, op, func(line []byte) error {
					event, err := parse(e, line)
					if err == nil {
						send(item{event: event})
					}
					return err
				})
				if ctx.Err() == nil {
					send(item{err: err})
				}
			})
		}
		go func() {
			readers.Wait()
			close(items)
		}()
		defer func() {
			cancel()
			for range items {
			}
		}()
		for i := range items {
			if !yield(i.event, i.err) {
				return
			}
		}
	}
}

// readLog hands on the lines of a log until something fails, if only ctx. There
// is no other limit on its time: some servers are silent until the first event.
func (b *Backend) readLog(ctx context.Context, e *endpoint, op operation, line func([]byte) error) error {
	start := time.Now()
	resp, err := b.request(ctx, e, call{op: op}, nil)
	if err != nil {
		return b.networkError(ctx, e, err, start)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := readAll(resp.Body, maxErrorBody)
		err := b.responseError(e, call{op: op}, resp, text)
		if errors.Is(err, kms.ErrUnsupported) && !strings.HasSuffix(op.path, "/trace") {
			op.path += "/trace" // until v0.17 (KES spec section 1.8)
			return b.readLog(ctx, e, op, line)
		}
		return err
	}
	lines := bufio.NewReaderSize(resp.Body, maxLogLine)
	for {
		text, err := lines.ReadSlice('\n')
		if len(bytes.TrimSpace(text)) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if err := line(text); err != nil {
				return b.networkError(ctx, e, err, start)
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return b.networkError(ctx, e, errTooLong, start)
		case err != nil:
			return b.networkError(ctx, e, err, start)
		}
	}
}
