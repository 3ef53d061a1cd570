package kes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
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
	if json.Unmarshal(a.body, v) == nil {
		return nil // without a copy of the answer, which a Decoder makes and nobody can wipe
	}
	switch err := json.NewDecoder(bytes.NewReader(a.body)).Decode(v); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it breaks off", errBadAnswer)
	case err != nil:
		return errBadAnswer // the decoder's own words may quote a key
	}
	return nil
}

// do makes a call, wherever it gets an answer.
func (b *Backend) do(ctx context.Context, c call) (err error) {
	if c.in != nil {
		if c.body, err = json.Marshal(c.in); err != nil {
			return err
		}
		if len(c.body) > maxBody {
			return fmt.Errorf("the request has %d bytes, a KES server reads %d", len(c.body), maxBody)
		}
	}
	b.expiry.look(b.creds, time.Now())
	within, cancel := context.WithTimeoutCause(ctx, b.callTimeout, errCallTimeout)
	defer cancel()
	return ended(ctx, b.failover(within, c))
}

// ended returns the error of a call, or, if its caller's context ended it, the
// error for that.
func ended(ctx context.Context, err error) error {
	if isServerFailure(err) && ctx.Err() != nil {
		return contextError(ctx, err)
	}
	return err
}

// try makes a call at one server, and notes whether the server is well.
func (b *Backend) try(ctx context.Context, e *endpoint, c call, patience time.Duration) error {
	start := time.Now()
	err := b.send(ctx, e, c, patience)
	switch {
	case !isServerFailure(err):
		e.welcome()
	case ctx.Err() == nil, errors.Is(ctx.Err(), context.DeadlineExceeded) && e.wasSilent(start) >= leastPatience:
		e.putOff()
	} // else it tells nothing of the server
	return err
}

// send makes a request at one server, and reads its answer.
func (b *Backend) send(ctx context.Context, e *endpoint, c call, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errTryTimeout)
	defer cancel()
	start := time.Now()

	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body) // sets Content-Length and GetBody
	}
	resp, err := b.request(ctx, e, c, body)
	if err != nil {
		return b.networkError(ctx, e, err, start)
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
		return b.networkError(ctx, e, err, start)
	}
	if c.out == nil {
		return nil
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch err := c.out(answer{text, media == "application/x-ndjson"}); {
	case errors.Is(err, errBadAnswer):
		return b.networkError(ctx, e, err, start)
	case err != nil:
		return fmt.Errorf("%w: in the answer of %s", err, e)
	}
	return nil
}

// request returns the answer's header; its body is the caller's to close.
func (b *Backend) request(ctx context.Context, e *endpoint, c call, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, c.op.method, e.base+c.path(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", c.op.accept())
	req.Header.Set("User-Agent", "objseal")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := b.client.Do(req)
	if err != nil && isOpaque(err) && ctx.Err() == nil {
		err = b.refusal(ctx, e, err)
	}
	return resp, err
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
