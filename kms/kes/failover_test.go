package kes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// tryTimeout is for tests in which a server hangs: they wait that long, and on
// a busy machine a server that is well has to answer within it.
const tryTimeout = 2 * time.Second

// start starts n servers over one key store with the keys key-1 and key-2, and
// a Backend that prefers them in this order and does not pause.
func start(t *testing.T, n int, options kestest.Options) (*kes.Backend, []*kestest.Server) {
	t.Helper()
	return startFor(t, n, options, time.Minute)
}

// startHanging is start for a test in which a server hangs.
func startHanging(t *testing.T, n int, options kestest.Options) (*kes.Backend, []*kestest.Server) {
	t.Helper()
	return startFor(t, n, options, tryTimeout)
}

func startFor(t *testing.T, n int, options kestest.Options, tryTimeout time.Duration) (*kes.Backend, []*kestest.Server) {
	t.Helper()
	var servers []*kestest.Server
	for range n {
		s := kestest.NewServerWith(options)
		t.Cleanup(s.Close)
		options.Admin, options.KeyStore = s.Admin, s.Keys
		servers = append(servers, s)
	}
	servers[0].CreateKey("key-1", "key-2")
	// A call has time: on a busy machine handshakes take it.
	b := servers[0].Backend(&kes.Options{TryTimeout: tryTimeout, CallTimeout: time.Minute}, servers[1:]...)
	b.SetPause(func() time.Duration { return 0 })
	return b, servers
}

var protocols = map[string]kestest.Options{"HTTP/2": {}, "HTTP/1.1": {HTTP1: true}}

func counts(servers []*kestest.Server) (n []int) {
	for _, s := range servers {
		n = append(n, s.Count(""))
	}
	return n
}

// deadURL is where no server listens.
func deadURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "https://" + l.Addr().String()
}

// TestFailoverSendsWholeBody: the next server gets the body that the first one
// has read already.
func TestFailoverSendsWholeBody(t *testing.T) {
	t.Parallel()
	ad := kms.AssociatedData{"bucket": "bucket/" + strings.Repeat("object", 10_000)}
	for protocol, o := range protocols {
		for what, fault := range map[string]kestest.Fault{
			"500":         kestest.Status(500, "failed to decrypt ciphertext"),
			"502":         kestest.Status(502, "failed to read key"),
			"503":         kestest.Status(503, "busy"),
			"504":         kestest.Status(504, "late"),
			"dropped":     kestest.Drop,
			"hung":        kestest.Hang,
			"cut":         kestest.CutBody,
			"empty":       kestest.EmptyAnswer,
			"not JSON":    kestest.Answer(200, "text/html", "<html>"),
			"lost answer": kestest.LoseAnswer,
		} {
			t.Run(protocol+"/"+what, func(t *testing.T) {
				t.Parallel()
				b, s := startHanging(t, 2, o)
				g, err := b.GenerateKey(t.Context(), "key-1", ad)
				if err != nil {
					t.Fatal(err)
				}
				s[0].Inject("/v1/key/decrypt/", -1, fault)
				key, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, ad)
				if err != nil || !key.Equal(g.Key) {
					t.Fatalf("Decrypt: %v", err)
				}
				first, second := s[0].Requests("/v1/key/decrypt/"), s[1].Requests("/v1/key/decrypt/")
				if len(first) == 0 || len(second) != 1 {
					t.Fatalf("%d and %d requests", len(first), len(second))
				}
				for _, r := range append(first, second...) {
					if !bytes.Equal(r.Body, first[0].Body) || r.ContentLength != int64(len(r.Body)) || len(r.Body) < 60_000 || r.Proto != second[0].Proto {
						t.Errorf("a request of %d bytes (%s, Content-Length %d), the first one had %d", len(r.Body), r.Proto, r.ContentLength, len(first[0].Body))
					}
				}
			})
		}
	}
}

// TestNoFailover: what a server says about the request holds for all servers.
func TestNoFailover(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 406, 409, 429, 501} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b, s := start(t, 2, kestest.Options{})
			s[0].Inject("", -1, kestest.Status(status, "no"))
			if _, err := b.GenerateKey(t.Context(), "key-1", nil); err == nil {
				t.Error("no error")
			}
			if got := counts(s); !slices.Equal(got, []int{1, 0}) {
				t.Errorf("requests: %v, want one at the first server", got)
			}
			s[0].Heal()
			if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
				t.Error(err)
			}
			if got := counts(s); !slices.Equal(got, []int{2, 0}) {
				t.Errorf("requests: %v, the first server was put off", got)
			}
		})
	}
}

// TestHungServer: it costs the first call one try and no later call anything,
// also while it is found out whether it is back.
func TestHungServer(t *testing.T) {
	t.Parallel()
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b, s := startHanging(t, 2, o)
			s[0].Inject("", -1, kestest.Hang)
			generate := func(want ...int) {
				t.Helper()
				if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
					t.Fatal(err)
				}
				await(t, s, want...)
			}
			generate(1, 1)
			for i := range 5 {
				generate(1, 2+i)
			}
			b.Elapse(kes.PutOffTime)
			generate(2, 7) // with the probe
			generate(2, 8) // it has not ended
			generate(2, 9)
			s[0].Heal()
			b.WaitForProbes()
			generate(2, 10) // it found the server hung
			b.Elapse(kes.PutOffTime)
			generate(3, 11) // with another one
			b.WaitForProbes()
			generate(4, 11)
		})
	}
}

// await waits for requests on their way, and then wants no others.
func await(t *testing.T, servers []*kestest.Server, want ...int) {
	t.Helper()
	for range 1000 {
		if slices.Equal(counts(servers), want) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("requests: %v, want %v", counts(servers), want)
}

// TestNoCallWaitsForAProbe: a server hangs without end, and no call that begins
// after the first time-out ever ends with a try of it.
func TestNoCallWaitsForAProbe(t *testing.T) {
	t.Parallel()
	b, s := startFor(t, 2, kestest.Options{}, time.Second)
	s[0].Inject("", -1, kestest.Hang)
	generate := func() {
		if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
			t.Error(err)
		}
	}
	generate()
	b.SetTryTimeout(time.Hour) // who waits for the server now waits for ever
	for range 3 {
		b.Elapse(kes.PutOffTime)
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(generate)
		}
		wait.Wait()
	}
	await(t, s, 2, 61) // one probe, which goes on
	b.Close()
	b.WaitForProbes() // no more
}

// TestCallsInFlight: all calls that met a server which hangs lose one try, none
// fails.
func TestCallsInFlight(t *testing.T) {
	t.Parallel()
	b, s := startHanging(t, 3, kestest.Options{})
	s[0].Inject("", -1, kestest.Hang)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := counts(s); got[0] > 20 || got[1] < 20 {
		t.Errorf("requests: %v", got)
	}
}

// TestKeyStoreHangs: a server that tells its version and no more is not back.
func TestKeyStoreHangs(t *testing.T) {
	t.Parallel()
	b, s := startHanging(t, 2, kestest.Options{})
	s[0].Inject("/v1/key/", -1, kestest.Hang)
	for range 2 {
		if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
			t.Fatal(err)
		}
		b.Elapse(kes.PutOffTime)
	}
	b.WaitForProbes()
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Fatal(err)
	}
	await(t, s, 2, 3)
}

// TestProbeOfCreate: what changes something is not repeated to find out.
func TestProbeOfCreate(t *testing.T) {
	b, s := start(t, 2, kestest.Options{})
	s[0].Inject("", 1, kestest.Status(500, ""))
	for i := range 3 {
		if err := b.CreateKey(t.Context(), fmt.Sprintf("new-%d", i)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			b.Elapse(kes.PutOffTime)
		}
		b.WaitForProbes()
	}
	if created, versions := s[0].Count("/v1/key/create/"), s[0].Count("/version"); created != 2 || versions != 1 {
		t.Errorf("%d create and %d version requests at the first server, want 2 and 1", created, versions)
	}
}

// TestCallersDeadline: who has no time for two whole tries still gets an answer
// from the server that is well.
func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	b, s := startFor(t, 2, kestest.Options{}, time.Hour)
	s[0].Inject("", -1, kestest.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if _, err := b.GenerateKey(ctx, "key-1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Fatal(err)
	}
	await(t, s, 1, 2)
}

// TestShortDeadlines: callers who all have less time than it takes to find one
// server hung find it together.
func TestShortDeadlines(t *testing.T) {
	t.Parallel()
	b, s := startFor(t, 2, kestest.Options{}, time.Hour)
	s[0].Inject("", -1, kestest.Hang)
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
		_, err := b.GenerateKey(ctx, "key-1", nil)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, kms.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	t.Error("every call waited for the server that hangs")
}

// TestNoWellServer: one that hangs keeps nobody from one that is back, and none
// of the answers is lost or mixed up.
func TestNoWellServer(t *testing.T) {
	t.Parallel()
	b, s := startFor(t, 3, kestest.Options{}, 2*time.Second)
	s[0].Inject("", -1, kestest.Hang)
	s[1].Inject("", 1, kestest.Status(500, "down"))
	s[2].Inject("", 1, kestest.Status(500, "down"))
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) {
		t.Fatal(err)
	}
	b.SetTryTimeout(time.Hour)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			g, err := b.GenerateKey(t.Context(), "key-1", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if key, err := b.Decrypt(t.Context(), "key-1", g.Ciphertext, nil); err != nil || !key.Equal(g.Key) {
				t.Errorf("another key than was made: %v", err)
			}
		})
	}
	wait.Wait()
}

// TestCallTimeout bounds a call whose caller does not, and is not the caller's.
func TestCallTimeout(t *testing.T) {
	t.Parallel()
	_, s := start(t, 2, kestest.Options{})
	for _, s := range s {
		s.Inject("", -1, kestest.Hang)
	}
	b := s[0].Backend(&kes.Options{TryTimeout: time.Hour, CallTimeout: 100 * time.Millisecond}, s[1])
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s[0].URL) {
		t.Error(err)
	}
	b = s[0].Backend(&kes.Options{TryTimeout: 100 * time.Millisecond}, s[1])
	b.SetPause(func() time.Duration { return time.Hour })
	for _, s := range s {
		s.Heal()
		s.Inject("", -1, kestest.Status(503, "busy"))
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestAllDownAndBack: every call fails in time while no server is there, of the
// kind that callers wait for, and succeeds when one is, without a restart.
func TestAllDownAndBack(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]kestest.Fault{"drop": kestest.Drop, "hang": kestest.Hang, "503": kestest.Status(503, "")} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b, s := start(t, 3, kestest.Options{})
			g, err := b.GenerateKey(t.Context(), "key-1", nil)
			if err != nil {
				t.Fatal(err)
			}
			call := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := b.Decrypt(ctx, "key-1", g.Ciphertext, nil)
				return err
			}
			for _, s := range s {
				s.Inject("", -1, fault)
			}
			var wait sync.WaitGroup
			for range 10 {
				wait.Go(func() {
					if err := call(); !errors.Is(err, kms.ErrUnreachable) {
						t.Errorf("all down: %v, want ErrUnreachable", err)
					}
				})
			}
			wait.Wait()
			s[2].Heal()
			for range 10 {
				if err := call(); err != nil {
					t.Errorf("one back: %v", err)
				}
			}
		})
	}
}

func TestAllServersPutOffAreTried(t *testing.T) {
	b, s := start(t, 3, kestest.Options{})
	for _, s := range s {
		s.Inject("", 1, kestest.Status(500, "down"))
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) {
		t.Fatalf("%v, want ErrUnreachable", err)
	}
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Error(err)
	}
	if got := counts(s); !slices.Equal(got, []int{2, 1, 1}) {
		t.Errorf("requests: %v", got)
	}
}

// TestRetry: a server that is overloaded or restarting gets two more chances.
func TestRetry(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		fault kestest.Fault
		times int // how often the fault is met
		want  int // requests
		fails bool
	}{
		"503 once":         {kestest.Status(503, ""), 1, 2, false},
		"503 twice":        {kestest.Status(503, ""), 2, 3, false},
		"503 three times":  {kestest.Status(503, ""), 3, 3, true},
		"503 always":       {kestest.Status(503, ""), -1, 3, true},
		"500":              {kestest.Status(500, ""), 1, 1, true},
		"502":              {kestest.Status(502, ""), 1, 1, true},
		"504":              {kestest.Status(504, ""), 1, 1, true},
		"501":              {kestest.Status(501, ""), 1, 1, true},
		"400":              {kestest.Status(400, ""), 1, 1, true},
		"hangs":            {kestest.Hang, 1, 1, true},
		"makes no sense":   {kestest.Answer(200, "application/json", "[1]"), 1, 1, true},
		"body cut, then 3": {kestest.CutBody, 1, 2, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b, s := startHanging(t, 1, kestest.Options{HTTP1: true})
			s[0].Inject("", test.times, test.fault)
			_, err := b.GenerateKey(t.Context(), "key-1", nil)
			if (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
			if got := s[0].Count(""); got != test.want {
				t.Errorf("%d requests, want %d", got, test.want)
			}
		})
	}
}

// TestRefusedConnection: every round asks, and pauses before the next.
func TestRefusedConnection(t *testing.T) {
	b, err := kes.New([]string{deadURL(t)}, kes.NewAPIKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pauses := 0
	b.SetPause(func() time.Duration { pauses++; return 0 })
	if _, err = b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
	if pauses != 2 {
		t.Errorf("%d pauses, want 2", pauses)
	}
}

func TestFailoverFromRefusedConnection(t *testing.T) {
	_, s := start(t, 1, kestest.Options{})
	b, err := kes.New([]string{deadURL(t), s[0].URL}, s[0].Admin, &kes.Options{RootCAs: s[0].CAs()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Error(err)
	}
}

// TestCreateKeyLostAnswer: a retry that answers "exists" is told as what it is.
func TestCreateKeyLostAnswer(t *testing.T) {
	for _, servers := range []int{1, 2} {
		t.Run(fmt.Sprintf("servers=%d", servers), func(t *testing.T) {
			b, s := start(t, servers, kestest.Options{HTTP1: true})
			s[0].Inject("/v1/key/create/", 1, kestest.LoseAnswer)
			err := b.CreateKey(t.Context(), "key-3")
			if !errors.Is(err, kms.ErrKeyExists) || !errors.Is(err, kes.ErrAnswerLost) {
				t.Errorf("answer lost: %v", err)
			}
			if err = b.CreateKey(t.Context(), "key-3"); !errors.Is(err, kms.ErrKeyExists) || errors.Is(err, kes.ErrAnswerLost) {
				t.Errorf("key exists: %v", err)
			}
			s[0].Inject("/v1/key/create/", 1, kestest.Drop)
			if err = b.CreateKey(t.Context(), "key-4"); err != nil {
				t.Errorf("request lost: %v", err)
			}
		})
	}
	t.Run("never sent", func(t *testing.T) {
		_, s := start(t, 1, kestest.Options{})
		b, err := kes.New([]string{deadURL(t), s[0].URL}, s[0].Admin, &kes.Options{RootCAs: s[0].CAs()})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err = b.CreateKey(t.Context(), "key-1"); !errors.Is(err, kms.ErrKeyExists) || errors.Is(err, kes.ErrAnswerLost) {
			t.Error(err)
		}
	})
}

// TestCallersContext: it ends every kind of waiting.
func TestCallersContext(t *testing.T) {
	t.Parallel()
	for what, prepare := range map[string]func(b *kes.Backend, s *kestest.Server){
		"while the server hangs": func(_ *kes.Backend, s *kestest.Server) { s.Inject("", -1, kestest.Hang) },
		"while the body is slow": func(_ *kes.Backend, s *kestest.Server) { s.Inject("", -1, slowBody) },
		"during a pause": func(b *kes.Backend, s *kestest.Server) {
			pauseFor(b, time.Hour)
			s.Inject("", -1, kestest.Status(503, ""))
		},
		"before the call": func(*kes.Backend, *kestest.Server) {},
	} {
		t.Run(what, func(t *testing.T) {
			s := kestest.NewServer()
			defer s.Close()
			s.CreateKey("key-1")
			b := s.Backend(&kes.Options{TryTimeout: time.Hour})
			prepare(b, s)
			ctx := t.Context()
			for kind, end := range map[error]func(context.Context) (context.Context, context.CancelFunc){
				context.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(ctx)
					go func() {
						for what != "before the call" && s.Count("") == 0 {
							time.Sleep(time.Millisecond)
						}
						cancel()
					}()
					if what == "before the call" {
						cancel()
					}
					return ctx, cancel
				},
				context.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
					if what == "before the call" {
						return context.WithDeadline(ctx, time.Now().Add(-time.Second))
					}
					return context.WithTimeout(ctx, 200*time.Millisecond)
				},
			} {
				ctx, cancel := end(ctx)
				defer cancel()
				_, err := b.GenerateKey(ctx, "key-1", nil)
				if !errors.Is(err, kind) {
					t.Errorf("error %v, want %v", err, kind)
				}
				if want := kind == context.DeadlineExceeded; errors.Is(err, kms.ErrUnreachable) != want {
					t.Errorf("%v: ErrUnreachable is %v, want %v: %v", kind, !want, want, err)
				}
			}
		})
	}
}

func pauseFor(b *kes.Backend, d time.Duration) { b.SetPause(func() time.Duration { return d }) }

// slowBody sends a header and then nothing.
func slowBody(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
	w.Header().Set("Content-Length", "100")
	w.WriteHeader(http.StatusOK)
	w.Write([]byte(`{"plain`))
	http.NewResponseController(w).Flush()
	kestest.Hang(w, r, s)
}

// TestTryTimeoutIsNotTheCallers: callers who look for their own deadline do
// not find one.
func TestTryTimeoutIsNotTheCallers(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]kestest.Fault{"header": kestest.Hang, "body": slowBody} {
		t.Run(what, func(t *testing.T) {
			b, s := startHanging(t, 1, kestest.Options{})
			s[0].Inject("", -1, fault)
			_, err := b.GenerateKey(t.Context(), "key-1", nil)
			if !errors.Is(err, kms.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s[0].URL) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestHungHandshake: a server that takes connections and says nothing.
func TestHungHandshake(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, s := start(t, 1, kestest.Options{})
	b, err := kes.New([]string{"https://" + l.Addr().String(), s[0].URL}, s[0].Admin, &kes.Options{RootCAs: s[0].CAs(), TryTimeout: tryTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
		t.Error(err)
	}
}

// TestNothingIsLeftBehind: no goroutine and no connection outlives Close.
func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, o := range protocols {
		s := kestest.NewServerWith(o)
		s.CreateKey("key-1")
		b := s.Backend(&kes.Options{TryTimeout: 100 * time.Millisecond})
		b.SetPause(func() time.Duration { return 0 })
		for _, fault := range []kestest.Fault{
			kestest.Hang, kestest.Drop, kestest.CutBody, kestest.EmptyAnswer, slowBody,
			kestest.Status(400, "no"), kestest.Status(503, "no"), kestest.Answer(200, "application/json", strings.Repeat("x", 3<<20)),
		} {
			s.Inject("", 1, fault)
			b.GenerateKey(t.Context(), "key-1", nil)
			b.Status(t.Context())
		}
		s.Close()
	}
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestConnectionsAreReused(t *testing.T) {
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			b, s := start(t, 1, o)
			remote := make(map[string]bool)
			s[0].Inject("", -1, func(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
				remote[r.RemoteAddr] = true
				s.KES.ServeHTTP(w, r)
			})
			for range 10 {
				if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
					t.Fatal(err)
				}
				b.Decrypt(t.Context(), "no-key", []byte("x"), nil) // errors too
			}
			if len(remote) != 1 {
				t.Errorf("%d connections, want 1", len(remote))
			}
		})
	}
}
