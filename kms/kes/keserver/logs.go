package keserver

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// backlog is how many events a client that follows a log may be behind; then
// it loses events, not the server time.
const backlog = 256

// feed hands events to those who follow a log, one JSON line each.
type feed struct {
	mu        sync.Mutex
	events    uint64
	followers map[chan []byte]struct{}
	closed    bool
}

func (f *feed) publish(event any) {
	line, err := json.Marshal(event)
	if err != nil {
		panic("keserver: internal error: " + err.Error())
	}
	line = append(line, '\n')
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events++
	for follower := range f.followers {
		select {
		case follower <- line:
		default:
		}
	}
}

func (f *feed) count() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events
}

// subscribe returns the events from now on; the channel ends with the feed.
func (f *feed) subscribe() chan []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make(chan []byte, backlog)
	if f.closed {
		close(events)
		return events
	}
	if f.followers == nil {
		f.followers = make(map[chan []byte]struct{})
	}
	f.followers[events] = struct{}{}
	return events
}

func (f *feed) unsubscribe(events chan []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, events)
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for follower := range f.followers {
		close(follower)
	}
	f.followers = nil
}

// A follow is the result of a request for a log: a stream that begins when the
// request was checked.
type follow struct {
	feed   *feed
	events chan []byte
}

// run writes events until the client or the feed ends.
func (f *follow) run(ctx context.Context, w http.ResponseWriter) {
	defer f.feed.unsubscribe(f.events)
	control := http.NewResponseController(w)
	for {
		if control.Flush() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case line, ok := <-f.events:
			if !ok {
				return
			}
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
}

func (s *Server) followAudit(*request) (any, error) {
	return &follow{&s.audit, s.audit.subscribe()}, nil
}

func (s *Server) followErrors(*request) (any, error) {
	return &follow{&s.errors, s.errors.subscribe()}, nil
}

// audited tells the audit log of a request that has changed the key store
// (KES spec section 1.7).
func (s *Server) audited(r *request) {
	type from struct {
		IP       string `json:"ip"`
		Path     string `json:"path"`
		Identity string `json:"identity"`
	}
	type to struct {
		Code int   `json:"code"`
		Time int64 `json:"time"` // milliseconds
	}
	s.audit.publish(struct {
		Time     time.Time `json:"time"`
		Request  from      `json:"request"`
		Response to        `json:"response"`
	}{r.start.UTC(), from{r.client, r.path, r.identity}, to{http.StatusOK, time.Since(r.start).Milliseconds()}})
}

// errorWriter is what the error log writes to: the feed and a writer.
type errorWriter struct {
	feed *feed
	also io.Writer
}

func (e *errorWriter) Write(line []byte) (int, error) {
	e.feed.publish(struct {
		Message string `json:"message"`
	}{strings.TrimSuffix(string(line), "\n")})
	if e.also == nil {
		return len(line), nil
	}
	return e.also.Write(line)
}
