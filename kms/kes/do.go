package kes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/objseal/objseal/kms"
)

// call is one request, whichever server gets it.
type call struct {
	op    operation
	name  string             // last element of the path
	in    any                // of the body, as JSON; nil for none
	body  []byte             // what do makes of in
	limit int                // longest answer, in bytes
	out   func(answer) error // reads the answer; nil if it is empty
}

// path needs no escaping: names are made of unreserved characters and, in a
// listing, one *.
func (c call) path() string { return c.op.path + c.name }

// answer is what a server said with status 200.
type answer struct {
	body   []byte
	ndjson bool // an older server's list: one JSON object a line
}

// errBadAnswer is for an answer that no KES server gives. It counts as none.
var errBadAnswer = errors.New("the answer makes no sense")

// decode reads the first JSON value; what follows is ignored, as servers do.
func (a answer) decode(v any) error {
	switch err := json.NewDecoder(bytes.NewReader(a.body)).Decode(v); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it breaks off", errBadAnswer)
	case err != nil:
		return errBadAnswer // the decoder's own words may quote a key
	}
	return nil
}

// rounds is how often all servers are tried before a call fails.
const rounds = 3

// randomPause is the pause between two rounds (KES spec section 7.2).
func randomPause() time.Duration {
	return 200*time.Millisecond + rand.N(800*time.Millisecond)
}

// do makes a call at one server after the other until one answers. Who was put
// off comes last, but comes: if all are put off all are tried.
func (b *Backend) do(ctx context.Context, c call) (err error) {
	if c.in != nil {
		if c.body, err = json.Marshal(c.in); err != nil {
			return err
		}
		if len(c.body) > maxBody {
			return fmt.Errorf("the request has %d bytes, a KES server reads %d", len(c.body), maxBody)
		}
	}
	lost := false // a try may have reached a server, and its answer did not reach us
	for round := range rounds {
		if round > 0 && !wait(ctx, b.pause()) {
			return contextError(ctx, err)
		}
		brief := true
		queue := slices.Clone(b.endpoints)
		for i := 0; i < len(queue); i++ {
			e := queue[i]
			if i < len(b.endpoints) && !e.admit() {
				queue = append(queue, e)
				continue
			}
			err = b.try(ctx, e, c)
			if !isServerFailure(err) || ctx.Err() != nil {
				if lost && c.op == opCreate && errors.Is(err, kms.ErrKeyExists) {
					return fmt.Errorf("%w: %w", err, ErrAnswerLost)
				}
				return err
			}
			lost = lost || !wasNeverSent(err)
			brief = brief && isBrief(err)
		}
		if !brief {
			break
		}
	}
	return err
}

// wait returns false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// try makes a call at one server, and notes whether the server is well.
func (b *Backend) try(ctx context.Context, e *endpoint, c call) error {
	err := b.send(ctx, e, c)
	switch {
	case !isServerFailure(err):
		e.welcome()
	case ctx.Err() != nil:
		e.release() // it tells nothing of the server
		return contextError(ctx, err)
	default:
		e.putOff()
	}
	return err
}

// send is the one place that makes requests, and reads and closes answers.
func (b *Backend) send(ctx context.Context, e *endpoint, c call) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.tryTimeout, errTryTimeout)
	defer cancel()

	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body) // sets Content-Length and GetBody
	}
	req, err := http.NewRequestWithContext(ctx, c.op.method, e.base+c.path(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "objseal")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	resp, err := b.client.Do(req)
	if err != nil {
		if isOpaque(err) && ctx.Err() == nil {
			err = b.diagnose(ctx, e, err)
		}
		return b.networkError(ctx, e, err)
	}
	defer resp.Body.Close()
	limit := c.limit
	if resp.StatusCode != http.StatusOK {
		limit = maxErrorBody
	}
	text, err := readAll(resp.Body, limit)
	if resp.StatusCode != http.StatusOK {
		return b.responseError(e, c, resp, text) // cut or not, the status counts
	}
	if err != nil {
		return b.networkError(ctx, e, err)
	}
	if c.out == nil {
		return nil
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch err := c.out(answer{text, media == "application/x-ndjson"}); {
	case errors.Is(err, errBadAnswer):
		return b.networkError(ctx, e, err)
	case err != nil:
		return fmt.Errorf("%w: in the answer of %s", err, e)
	}
	return nil
}

var errTooLong = errors.New("the answer is too long")

// readAll reads at most limit bytes, and leaves no second copy of them behind.
func readAll(r io.Reader, limit int) ([]byte, error) {
	b := make([]byte, 0, 1024)
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), 2*cap(b))
			copy(grown, b)
			clear(b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			clear(b)
			return b[:limit], errTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}
