package rewrapper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/sse/rewrapper"
)

var background = context.Background()

// newClient has the keys given, the first as its default, and counts calls.
func newClient(t testing.TB, calls *atomic.Int64, names ...string) *kms.Client {
	var keys []static.Key
	for _, name := range names {
		k, err := static.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	b, err := static.New(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewClient(b, &kms.Options{Observe: func(kms.Call) { calls.Add(1) }})
}

// store holds objects in memory. Its positions are their keys.
type store struct {
	mu       sync.Mutex
	metadata map[string]map[string]string
	data     map[string][]byte
	replaced int
	replace  func(key string) error // asked first, if not nil
	list     error                  // ends every listing
}

func (s *store) List(_ context.Context, after string) iter.Seq2[rewrapper.Item, error] {
	return func(yield func(rewrapper.Item, error) bool) {
		s.mu.Lock()
		keys := slices.Sorted(maps.Keys(s.metadata))
		s.mu.Unlock()
		for _, key := range keys {
			if key <= after {
				continue
			}
			s.mu.Lock()
			item := rewrapper.Item{Position: key, Name: name(key), Metadata: s.metadata[key], Ref: key}
			s.mu.Unlock()
			if !yield(item, nil) {
				return
			}
		}
		if s.list != nil {
			yield(rewrapper.Item{}, s.list)
		}
	}
}

func (s *store) Replace(_ context.Context, item rewrapper.Item, metadata map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := item.Ref.(string)
	if s.replace != nil {
		if err := s.replace(key); err != nil {
			return err
		}
	}
	if !maps.Equal(s.metadata[key], item.Metadata) {
		return rewrapper.ErrChanged
	}
	s.metadata[key] = metadata
	s.replaced++
	return nil
}

func name(key string) sse.ObjectName { return sse.ObjectName{Bucket: "bucket", Object: key} }

func (s *store) put(t testing.TB, c *kms.Client, key string, r sse.Request) {
	u, err := sse.Encrypt(background, c, r, name(key), bytes.NewReader([]byte(key)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.data[key], err = io.ReadAll(u); err != nil {
		t.Fatal(err)
	}
	if s.metadata[key], err = u.Metadata(); err != nil {
		t.Fatal(err)
	}
}

// check reads every object back.
func (s *store) check(t testing.TB, c *kms.Client, customer sse.CustomerKey) {
	t.Helper()
	for key, m := range s.metadata {
		o := new(sse.OpenOptions)
		if d, err := sse.DescribeKeys(m); err == nil && d.Method == sse.C {
			o.CustomerKey = customer
		} else if err != nil {
			continue
		}
		obj, err := sse.Open(background, c, name(key), sse.Stored{Metadata: m, Size: int64(len(s.data[key]))}, o)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data[key])), sse.Whole)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(rd); err != nil || string(got) != key {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
}

func newStore() *store {
	return &store{metadata: make(map[string]map[string]string), data: make(map[string][]byte)}
}

// filled has n objects under SSE-S3 and the key "old" and as many under SSE-KMS.
func filled(t testing.TB, c *kms.Client, n int) *store {
	s := newStore()
	for i := range n {
		s.put(t, c, fmt.Sprintf("%04d-s3", i), sse.Request{Method: sse.S3})
		s.put(t, c, fmt.Sprintf("%04d-kms", i), sse.Request{Method: sse.KMS, KMSKeyID: "old", Context: kms.AssociatedData{"tenant": "a"}})
	}
	return s
}

// TestRun: a dry run, a run, and one that finds nothing left to do.
func TestRun(t *testing.T) {
	var calls atomic.Int64
	c := newClient(t, &calls, "old", "new")
	s := filled(t, c, 50)
	s.metadata["plain"] = map[string]string{"etag": "d41d8cd98f00b204e9800998ecf8427e"}
	s.put(t, nil, "customer", sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)})
	data := maps.Clone(s.data)
	for _, test := range []struct {
		name  string
		o     rewrapper.Options
		want  rewrapper.Report
		calls int64
	}{
		{"dry", rewrapper.Options{DryRun: true}, rewrapper.Report{Listed: 102, Rewrapped: 100, Skipped: 2, Keys: map[string]int64{"old": 100}}, 0},
		{"another key", rewrapper.Options{KeyIDs: []string{"third"}}, rewrapper.Report{Listed: 102, Skipped: 102, Keys: map[string]int64{"old": 100}}, 0},
		{"some", rewrapper.Options{KeyIDs: []string{"old"}, Select: func(i rewrapper.Item, m sse.Method) bool { return m == sse.S3 && i.Position < "0010" }}, rewrapper.Report{Listed: 102, Rewrapped: 10, Skipped: 92, Keys: map[string]int64{"old": 90, "new": 10}}, 20},
		{"all", rewrapper.Options{}, rewrapper.Report{Listed: 102, Rewrapped: 90, Done: 10, Skipped: 2, Keys: map[string]int64{"new": 100}}, 180},
		{"again", rewrapper.Options{}, rewrapper.Report{Listed: 102, Done: 100, Skipped: 2, Keys: map[string]int64{"new": 100}}, 0},
		{"new context", rewrapper.Options{Context: kms.AssociatedData{"tenant": "b"}}, rewrapper.Report{Listed: 102, Rewrapped: 50, Done: 50, Skipped: 2, Keys: map[string]int64{"new": 100}}, 100},
		{"same context", rewrapper.Options{Context: kms.AssociatedData{"tenant": "b"}}, rewrapper.Report{Listed: 102, Done: 100, Skipped: 2, Keys: map[string]int64{"new": 100}}, 0},
	} {
		calls.Store(0)
		before := s.replaced
		last := rewrapper.Report{}
		test.o.Progress = func(r rewrapper.Report) {
			if r.Listed != last.Listed+1 || r.Position <= last.Position {
				t.Errorf("%s: progress from %+v to %+v", test.name, last, r)
			}
			last = r
		}
		got, err := rewrapper.Run(background, c, s, "new", &test.o)
		test.want.Position = "plain"
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) || calls.Load() != test.calls {
			t.Errorf("%s: %+v and %d requests, %v; want %+v and %d", test.name, got, calls.Load(), err, test.want, test.calls)
		}
		if fmt.Sprint(last) != fmt.Sprint(got) {
			t.Errorf("%s: the last progress is %+v, the report %+v", test.name, last, got)
		}
		if replaced := s.replaced - before; test.o.DryRun && replaced > 0 || !test.o.DryRun && int64(replaced) != got.Rewrapped {
			t.Errorf("%s: %d replaced", test.name, replaced)
		}
		s.check(t, c, customerKey(t, 1))
	}
	for key := range data {
		if !bytes.Equal(data[key], s.data[key]) {
			t.Errorf("the data of %s has changed", key)
		}
	}
}

func customerKey(t testing.TB, fill byte) sse.CustomerKey {
	k, err := sse.NewCustomerKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestResume: a run that was killed half-way leaves every object readable, and
// another one does the rest: from its position on, or from the beginning.
func TestResume(t *testing.T) {
	for _, fromStart := range []bool{false, true} {
		for _, workers := range []int{1, 8} {
			var calls atomic.Int64
			c := newClient(t, &calls, "old", "new")
			s := filled(t, c, 50)
			ctx, cancel := context.WithCancel(background)
			first, err := rewrapper.Run(ctx, c, s, "new", &rewrapper.Options{Workers: workers, Progress: func(r rewrapper.Report) {
				if r.Listed == 40 {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) || first.Listed < 40 || first.Listed == 100 {
				t.Fatalf("%+v, %v", first, err)
			}
			s.check(t, c, sse.CustomerKey{})
			done := int64(s.replaced)
			o := &rewrapper.Options{Workers: workers, After: first.Position}
			want := 100 - first.Listed
			if fromStart {
				o.After, want = "", 100
			}
			calls.Store(0)
			second, err := rewrapper.Run(background, c, s, "new", o)
			if err != nil || second.Listed != want || second.Rewrapped != 100-done || calls.Load() != 2*(100-done) {
				t.Errorf("%d workers: first %+v, %d done; then %+v and %d requests, %v", workers, first, done, second, calls.Load(), err)
			}
			s.check(t, c, sse.CustomerKey{})
			if third, err := rewrapper.Run(background, c, s, "new", nil); err != nil || third.Done != 100 {
				t.Errorf("%+v, %v", third, err)
			}
		}
	}
}

// TestAnotherKeyServer: from one to another that has a key of the same name.
func TestAnotherKeyServer(t *testing.T) {
	var oldCalls, newCalls atomic.Int64
	from, into := newClient(t, &oldCalls, "old", "third"), newClient(t, &newCalls, "old")
	s := filled(t, from, 20)
	s.put(t, from, "under the third key", sse.Request{Method: sse.KMS, KMSKeyID: "third"})
	r, err := rewrapper.Run(background, into, s, "old", &rewrapper.Options{From: from})
	if err != nil || r.Rewrapped != 41 || r.Keys["old"] != 41 {
		t.Fatalf("%+v, %v", r, err)
	}
	s.check(t, into, sse.CustomerKey{})
	oldCalls.Store(0)
	r, err = rewrapper.Run(background, into, s, "old", &rewrapper.Options{From: from})
	if err != nil || r.Done != 41 || oldCalls.Load() != 0 {
		t.Errorf("again: %+v, %v, %d requests to the old one", r, err, oldCalls.Load())
	}
}

// TestCustomerKeys: SSE-C needs no key server, and what has its new key is left
// alone.
func TestCustomerKeys(t *testing.T) {
	s := newStore()
	for i := range 4 {
		s.put(t, nil, fmt.Sprint(i), sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)})
	}
	keys := func(_ context.Context, i rewrapper.Item) (old, new sse.CustomerKey, err error) {
		switch i.Position {
		case "3":
			return
		case "2":
			err = errors.New("the vault is closed")
		}
		return customerKey(t, 1), customerKey(t, 2), err
	}
	var failures []string
	for round, want := range []rewrapper.Report{{Listed: 4, Rewrapped: 2, Skipped: 1, Failed: 1, Position: "3", Keys: map[string]int64{}}, {Listed: 4, Done: 2, Skipped: 1, Failed: 1, Position: "3", Keys: map[string]int64{}}} {
		got, err := rewrapper.Run(background, nil, s, "", &rewrapper.Options{CustomerKeys: keys, OnError: func(i rewrapper.Item, err error) error {
			failures = append(failures, i.Position)
			return nil
		}})
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("round %d: %+v, %v; want %+v", round, got, err, want)
		}
	}
	if fmt.Sprint(failures) != "[2 2]" {
		t.Errorf("failures %v", failures)
	}
	for _, key := range []string{"2", "3"} {
		delete(s.metadata, key)
	}
	s.check(t, nil, customerKey(t, 2))
}

// TestFailures: one that is not taken ends the run before the item, one that is
// taken is counted; what somebody else has changed is neither.
func TestFailures(t *testing.T) {
	var calls atomic.Int64
	c := newClient(t, &calls, "old", "new")
	full := errors.New("disk full")
	for _, test := range []struct {
		name    string
		prepare func(s *store)
		onError func(rewrapper.Item, error) error
		kind    error
		want    rewrapper.Report
	}{
		{"store", func(s *store) {
			s.replace = func(key string) error {
				if key == "0005-s3" {
					return full
				}
				return nil
			}
		}, nil, full, rewrapper.Report{Listed: 12, Rewrapped: 11, Failed: 1, Position: "0005-kms", Keys: map[string]int64{"new": 11, "old": 1}}},
		{"store, taken", func(s *store) { s.replace = func(string) error { return full } }, func(rewrapper.Item, error) error { return nil }, nil,
			rewrapper.Report{Listed: 20, Failed: 20, Position: "0009-s3", Keys: map[string]int64{"old": 20}}},
		{"store, not taken", func(s *store) { s.replace = func(string) error { return full } }, func(_ rewrapper.Item, err error) error { return err }, full,
			rewrapper.Report{Listed: 1, Failed: 1, Keys: map[string]int64{"old": 1}}},
		{"changed", func(s *store) { s.replace = func(string) error { return rewrapper.ErrChanged } }, nil, nil,
			rewrapper.Report{Listed: 20, Changed: 20, Position: "0009-s3", Keys: map[string]int64{"old": 20}}},
		{"listing", func(s *store) { s.list = full }, nil, full, rewrapper.Report{Listed: 20, Rewrapped: 20, Position: "0009-s3", Keys: map[string]int64{"new": 20}}},
		{"metadata", func(s *store) { delete(s.metadata["0000-kms"], "X-Minio-Internal-Server-Side-Encryption-Iv") }, nil, sse.ErrTampered,
			rewrapper.Report{Listed: 1, Failed: 1, Keys: map[string]int64{}}},
		{"another name", func(s *store) { s.metadata["0000-kms"] = s.metadata["0001-kms"] }, nil, kms.ErrNotAuthentic,
			rewrapper.Report{Listed: 1, Failed: 1, Keys: map[string]int64{"old": 1}}},
	} {
		s := filled(t, c, 10)
		test.prepare(s)
		got, err := rewrapper.Run(background, c, s, "new", &rewrapper.Options{OnError: test.onError, Workers: 3})
		if !errors.Is(err, test.kind) || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", test.name, got, err, test.want, test.kind)
		}
	}
	for _, test := range []struct {
		keyID string
		o     *rewrapper.Options
	}{{"", nil}, {"new", &rewrapper.Options{Workers: -1}}, {"new", &rewrapper.Options{Workers: 257}}} {
		if _, err := rewrapper.Run(background, c, newStore(), test.keyID, test.o); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%q %+v: %v", test.keyID, test.o, err)
		}
	}
	if _, err := rewrapper.Run(background, c, filled(t, c, 1), "fourth", nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("a key that does not exist: %v", err)
	}
}
