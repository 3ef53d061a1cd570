package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
)

// bare hides what is optional of a backend.
type bare struct{ kms.Backend }

// operations calls a Client in every way, with a key id where one is taken.
func operations(keyID string) map[kms.Operation]func(context.Context, *kms.Client) error {
	ad := kms.AssociatedData{"a": "b"}
	return map[kms.Operation]func(context.Context, *kms.Client) error{
		kms.OpGenerateKey: func(ctx context.Context, c *kms.Client) error { return second(c.GenerateKey(ctx, keyID, ad)) },
		kms.OpDecrypt:     func(ctx context.Context, c *kms.Client) error { return second(c.Decrypt(ctx, keyID, []byte("x"), ad)) },
		kms.OpEncrypt:     func(ctx context.Context, c *kms.Client) error { return second(c.Encrypt(ctx, keyID, []byte("x"), ad)) },
		kms.OpCreateKey:   func(ctx context.Context, c *kms.Client) error { return c.CreateKey(ctx, keyID) },
		kms.OpImportKey:   func(ctx context.Context, c *kms.Client) error { return c.ImportKey(ctx, keyID, make([]byte, 32), "") },
		kms.OpDeleteKey:   func(ctx context.Context, c *kms.Client) error { return c.DeleteKey(ctx, keyID) },
		kms.OpDescribeKey: func(ctx context.Context, c *kms.Client) error { return second(c.DescribeKey(ctx, keyID)) },
		kms.OpListKeys:    func(ctx context.Context, c *kms.Client) error { return second(c.ListKeys(ctx, keyID)) },
		kms.OpStatus:      func(ctx context.Context, c *kms.Client) error { return second(c.Status(ctx)) },
	}
}

func second[T any](_ T, err error) error { return err }

func TestRoundTrip(t *testing.T) {
	b := kmstest.NewBackend("key-1", "key-2")
	c := kms.NewClient(b, &kms.Options{DefaultKeyID: "key-2"})
	ad := kms.AssociatedData{"bucket": "bucket/object"}
	g, err := c.GenerateKey(t.Context(), "", ad)
	if err != nil || g.KeyID != "key-2" {
		t.Fatalf("%q, %v", g.KeyID, err)
	}
	key, err := c.Decrypt(t.Context(), "key-2", g.Ciphertext, ad)
	if err != nil || !key.Equal(g.Key) {
		t.Fatal(err)
	}
	if c.Backend() != kms.Backend(b) || b.Calls(kms.OpGenerateKey) != 1 || b.Calls(kms.OpDecrypt) != 1 {
		t.Error("a call of its own, or another backend")
	}
	if g, err := kms.NewClient(b, nil).GenerateKey(t.Context(), "", nil); err != nil || g.KeyID != "key-1" {
		t.Errorf("the backend's default key: %q, %v", g.KeyID, err)
	}
	if _, err := c.Decrypt(t.Context(), "", g.Ciphertext, ad); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("Decrypt without a key id takes the Client's default: %v", err)
	}
}

func TestNilClient(t *testing.T) {
	for what, c := range map[string]*kms.Client{"nil": nil, "no backend": kms.NewClient(nil, nil)} {
		if c.Backend() != nil {
			t.Errorf("%s: it has a backend", what)
		}
		for op, call := range operations("key-1") {
			err := call(t.Context(), c)
			var e *kms.Error
			if !errors.Is(err, kms.ErrNotConfigured) || !errors.As(err, &e) || e.Op != op {
				t.Errorf("%s: %s: %v", what, op, err)
			}
		}
	}
}

func TestKeyIDChecks(t *testing.T) {
	for _, id := range []string{"\x00", "a\nb", "\x7f", "a\u0085", "\xff", "key\xc3", strings.Repeat("a", 513)} {
		b := kmstest.NewBackend("key-1")
		c := kms.NewClient(b, nil)
		for op, call := range operations(id) {
			if op == kms.OpStatus {
				continue // takes none
			}
			err := call(t.Context(), c)
			if !errors.Is(err, kms.ErrInvalidKeyID) || b.Calls(op) != 0 {
				t.Errorf("%s %q: %v, %d calls", op, id, err, b.Calls(op))
			}
			if err != nil && (len(err.Error()) > 700 || strings.ContainsFunc(err.Error(), unicode.IsControl)) {
				t.Errorf("%s: the message is unfit to print: %q", op, err)
			}
		}
	}
	// What a name is made of is the backend's to say.
	for _, id := range []string{"../key-1", "key 1", "é", "a:b/c", strings.Repeat("a", 512)} {
		b := kmstest.NewBackend("key-1")
		if err := second(kms.NewClient(b, nil).GenerateKey(t.Context(), id, nil)); b.Calls(kms.OpGenerateKey) != 1 {
			t.Errorf("%q never got to the backend: %v", id, err)
		}
	}
}

func TestMaxCiphertext(t *testing.T) {
	b := kmstest.NewBackend("key-1")
	c := kms.NewClient(b, nil)
	for n, asked := range map[int]bool{0: false, 1: true, 65535: true, kms.MaxCiphertext: true, kms.MaxCiphertext + 1: false, 10 << 20: false} {
		before := b.Calls(kms.OpDecrypt)
		_, err := c.Decrypt(t.Context(), "key-1", make([]byte, n), nil)
		if !errors.Is(err, kms.ErrNotAuthentic) || (b.Calls(kms.OpDecrypt) > before) != asked {
			t.Errorf("%d bytes: %v, backend asked: %v", n, err, b.Calls(kms.OpDecrypt) > before)
		}
	}
}

// TestHooks: the key is chosen first, then allowed, then used, then observed.
func TestHooks(t *testing.T) {
	b := kmstest.NewBackend("key-1", "key-2", "key-3")
	var events []string
	note := func(format string, args ...any) { events = append(events, fmt.Sprintf(format, args...)) }
	denied := errors.New("denied by the hook")
	var deny, fail error
	choice := "key-2"
	c := kms.NewClient(b, &kms.Options{
		DefaultKeyID: "key-3",
		ChooseKey: func(_ context.Context, requested string, ad kms.AssociatedData) (string, error) {
			note("choose %q %s", requested, ad.Canonical())
			return choice, fail
		},
		Authorize: func(_ context.Context, op kms.Operation, keyID string, ad kms.AssociatedData) error {
			note("authorize %s %s %s", op, keyID, ad.Canonical())
			return deny
		},
		Observe: func(call kms.Call) {
			note("observe %s %s %v", call.Op, call.KeyID, call.Err)
			if call.Duration < 0 || call.Err != nil && !errors.As(call.Err, new(*kms.Error)) {
				t.Errorf("%+v", call)
			}
		},
	})
	want := func(list ...string) {
		t.Helper()
		if !slices.Equal(events, list) {
			t.Errorf("%q, want %q", events, list)
		}
		events = nil
	}
	ad := kms.AssociatedData{"a": "b"}

	g, err := c.GenerateKey(t.Context(), "key-1", ad)
	if err != nil || g.KeyID != "key-2" {
		t.Errorf("%q, %v", g.KeyID, err)
	}
	want(`choose "key-1" {"a":"b"}`, `authorize generate a data key key-2 {"a":"b"}`, `observe generate a data key key-2 <nil>`)

	if _, err := c.Decrypt(t.Context(), "key-2", g.Ciphertext, ad); err != nil {
		t.Error(err)
	}
	want(`authorize decrypt a data key key-2 {"a":"b"}`, `observe decrypt a data key key-2 <nil>`)

	choice = ""
	if g, err := c.GenerateKey(t.Context(), "key-1", nil); err != nil || g.KeyID != "key-3" {
		t.Errorf("%q, %v", g.KeyID, err)
	}
	want(`choose "key-1" {}`, `authorize generate a data key key-3 {}`, `observe generate a data key key-3 <nil>`)

	if _, err := c.Decrypt(t.Context(), "key-1", g.Ciphertext, ad); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Error(err)
	}
	want(`authorize decrypt a data key key-1 {"a":"b"}`, `observe decrypt a data key key-1 failed to decrypt a data key with key "key-1": ciphertext is not authentic`)

	deny = denied
	for op, call := range operations("key-1") {
		before := b.Calls(op)
		err := call(t.Context(), c)
		if !errors.Is(err, kms.ErrNotPermitted) || !errors.Is(err, denied) || b.Calls(op) != before {
			t.Errorf("%s: %v, %d calls", op, err, b.Calls(op)-before)
		}
		if slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "observe") }) {
			t.Errorf("%s: observed %q", op, events)
		}
		events = nil
	}

	deny, fail = nil, errors.New("no key for this")
	if _, err := c.GenerateKey(t.Context(), "", nil); !errors.Is(err, fail) || !errors.As(err, new(*kms.Error)) {
		t.Error(err)
	}
	want(`choose "" {}`)

	fail, choice = nil, "\x00"
	if _, err := c.GenerateKey(t.Context(), "", nil); !errors.Is(err, kms.ErrInvalidKeyID) {
		t.Error(err)
	}
	want(`choose "" {}`)
}

// timeout is a net.Error.
type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// TestErrorKinds: what a backend returns keeps its kind or gets the one that
// its type proves.
func TestErrorKinds(t *testing.T) {
	odd := errors.New("odd")
	for what, test := range map[string]struct {
		err  error
		kind error // nil: none
	}{
		"not found":      {kms.ErrKeyNotFound, kms.ErrKeyNotFound},
		"wrapped":        {fmt.Errorf("server 1: %w", kms.ErrNotAuthentic), kms.ErrNotAuthentic},
		"permitted":      {kms.ErrNotPermitted, kms.ErrNotPermitted},
		"exists":         {kms.ErrKeyExists, kms.ErrKeyExists},
		"unsupported":    {kms.ErrUnsupported, kms.ErrUnsupported},
		"name":           {kms.ErrInvalidKeyID, kms.ErrInvalidKeyID},
		"size":           {kms.ErrKeySize, kms.ErrKeySize},
		"unreachable":    {kms.ErrUnreachable, kms.ErrUnreachable},
		"dial":           {&net.OpError{Op: "dial", Err: odd}, kms.ErrUnreachable},
		"connection":     {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.EIO)}, kms.ErrUnreachable},
		"file":           {&fs.PathError{Op: "read", Path: "key", Err: syscall.EIO}, nil},
		"file, no path":  {fmt.Errorf("failed to read the key file: %w", syscall.EACCES), nil},
		"net.Error":      {timeout{odd}, kms.ErrUnreachable},
		"deadline":       {context.DeadlineExceeded, kms.ErrUnreachable},
		"EOF":            {io.EOF, kms.ErrUnreachable},
		"unexpected EOF": {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), kms.ErrUnreachable},
		"odd":            {odd, nil},
		"text":           {errors.New("key not found"), nil},
		"cancelled":      {context.Canceled, context.Canceled},
		// Evidence of a kind wins over the network error beside it.
		"both": {fmt.Errorf("%w: %w", kms.ErrNotPermitted, io.EOF), kms.ErrNotPermitted},
	} {
		b := kmstest.NewBackend("key-1")
		b.Fail(test.err)
		c := kms.NewClient(b, nil)
		for op, call := range operations("key-1") {
			err := call(t.Context(), c)
			var e *kms.Error
			if !errors.As(err, &e) || e.Op != op || !errors.Is(err, test.err) || op != kms.OpStatus && e.KeyID != "key-1" {
				t.Errorf("%s: %s: %v", what, op, err)
			}
			for _, kind := range []error{kms.ErrKeyNotFound, kms.ErrKeyExists, kms.ErrNotAuthentic, kms.ErrUnreachable, kms.ErrNotPermitted, kms.ErrUnsupported, kms.ErrInvalidKeyID, kms.ErrKeySize, kms.ErrNotConfigured, context.Canceled} {
				if errors.Is(err, kind) != (kind == test.kind) {
					t.Errorf("%s: %s: is %v: %v", what, op, kind, kind != test.kind)
				}
			}
		}
	}
}

func TestErrorMessages(t *testing.T) {
	odd := errors.New("odd")
	for want, e := range map[string]*kms.Error{
		`failed to generate a data key: odd`:                   {Op: kms.OpGenerateKey, Err: odd},
		`failed to generate a data key with key "key-1": odd`:  {Op: kms.OpGenerateKey, KeyID: "key-1", Err: odd},
		`failed to decrypt a data key with key "a\nb\"c": odd`: {Op: kms.OpDecrypt, KeyID: "a\nb\"c", Err: odd},
		`failed to encrypt with key "key-1": odd`:              {Op: kms.OpEncrypt, KeyID: "key-1", Err: odd},
		`failed to create key "key-1": odd`:                    {Op: kms.OpCreateKey, KeyID: "key-1", Err: odd},
		`failed to import key "key-1": odd`:                    {Op: kms.OpImportKey, KeyID: "key-1", Err: odd},
		`failed to delete key "key-1": odd`:                    {Op: kms.OpDeleteKey, KeyID: "key-1", Err: odd},
		`failed to describe key "key-1": odd`:                  {Op: kms.OpDescribeKey, KeyID: "key-1", Err: odd},
		`failed to list keys "key-": odd`:                      {Op: kms.OpListKeys, KeyID: "key-", Err: odd},
		`failed to read the status: odd`:                       {Op: kms.OpStatus, Err: odd},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// wrongAnswer is a backend whose answers lack something.
type wrongAnswer struct {
	kms.Backend
	generated kms.GeneratedKey
	opened    kms.DataKey
}

func (w wrongAnswer) GenerateKey(context.Context, string, kms.AssociatedData) (kms.GeneratedKey, error) {
	return w.generated, nil
}

func (w wrongAnswer) Decrypt(context.Context, string, []byte, kms.AssociatedData) (kms.DataKey, error) {
	return w.opened, nil
}

func TestIncompleteAnswers(t *testing.T) {
	for what, g := range map[string]kms.GeneratedKey{
		"nothing":       {},
		"no key":        {Ciphertext: []byte("x")},
		"no ciphertext": {Key: kms.RandomDataKey()},
		"too long":      {Key: kms.RandomDataKey(), Ciphertext: make([]byte, kms.MaxCiphertext+1)},
	} {
		c := kms.NewClient(wrongAnswer{generated: g}, nil)
		if got, err := c.GenerateKey(t.Context(), "", nil); !errors.As(err, new(*kms.Error)) || !got.Key.IsZero() || got.Ciphertext != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got, err := c.Decrypt(t.Context(), "", []byte("x"), nil); !errors.As(err, new(*kms.Error)) || !got.IsZero() {
			t.Errorf("%s: Decrypt: %v", what, err)
		}
	}
}

// TestOptionalParts: a backend that cannot is told apart from one that fails.
func TestOptionalParts(t *testing.T) {
	c := kms.NewClient(bare{kmstest.NewBackend("key-1")}, nil)
	for op, call := range operations("key-1") {
		err := call(t.Context(), c)
		optional := op == kms.OpCreateKey || op == kms.OpImportKey || op == kms.OpDeleteKey || op == kms.OpDescribeKey || op == kms.OpListKeys || op == kms.OpEncrypt
		if errors.Is(err, kms.ErrUnsupported) != optional {
			t.Errorf("%s: %v", op, err)
		}
	}
	for op, call := range operations("key-1") {
		err := call(t.Context(), kms.NewClient(kmstest.NewBackend("key-1"), nil))
		want := map[kms.Operation]error{kms.OpCreateKey: kms.ErrKeyExists, kms.OpImportKey: kms.ErrKeyExists, kms.OpDecrypt: kms.ErrNotAuthentic}[op]
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", op, err, want)
		}
	}
}

func TestDataKey(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, kms.DataKeySize)
	a, err := kms.NewDataKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := kms.NewDataKey(raw)
	if !a.Equal(b) || a.Equal(kms.RandomDataKey()) || a.Equal(kms.DataKey{}) || (kms.DataKey{}).Equal(kms.DataKey{}) {
		t.Error("Equal")
	}
	for _, n := range []int{0, 16, 31, 33, 64} {
		if k, err := kms.NewDataKey(make([]byte, n)); !errors.Is(err, kms.ErrKeySize) || !k.IsZero() {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		out := fmt.Sprintf(verb, kms.GeneratedKey{Key: a, KeyID: "key-1", Ciphertext: []byte("c")})
		if strings.Contains(out, "0707") || strings.Contains(out, "7 7") || strings.Contains(out, "0x7, 0x7") {
			t.Errorf("%s shows the key", verb)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "Z": true, "_a": true, "a_": true, "__": true, "a-b": true, "a--b": true, "my-key_1": true, strings.Repeat("a", 80): true,
		"": false, "_": false, "-": false, "-a": false, "a-": false, "a.b": false, "a/b": false, `a\b`: false, "a b": false, "a\n": false, "a\x00": false, "é": false, "\xff": false, "..": false, "a:b": false, "*": false, strings.Repeat("a", 81): false,
	} {
		if kms.ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestQuoteKeyID(t *testing.T) {
	for id, want := range map[string]string{
		"key-1":                  `"key-1"`,
		"":                       `""`,
		"a\x1b[2J\n\u202e\xff":   `"a\x1b[2J\n\u202e\xff"`,
		strings.Repeat("a", 80):  `"` + strings.Repeat("a", 80) + `"`,
		strings.Repeat("a", 81):  `"` + strings.Repeat("a", 80) + `"… (81 bytes)`,
		strings.Repeat("é", 500): `"` + strings.Repeat(`\u00e9`, 40) + `"… (1000 bytes)`,
	} {
		if got := kms.QuoteKeyID(id); got != want {
			t.Errorf("%q: %s, want %s", id, got, want)
		}
	}
}

func TestObserveIsTimed(t *testing.T) {
	var calls []kms.Call
	c := kms.NewClient(kmstest.NewBackend("key-1"), &kms.Options{Observe: func(c kms.Call) { calls = append(calls, c) }})
	start := time.Now()
	for range 3 {
		if _, err := c.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var sum time.Duration
	for _, call := range calls {
		sum += call.Duration
	}
	if len(calls) != 3 || sum > time.Since(start) {
		t.Errorf("%d calls that took %v", len(calls), sum)
	}
}

func ExampleClient() {
	client := kms.NewClient(kmstest.NewBackend("my-key"), nil)
	ctx := context.Background()

	object := kms.AssociatedData{"bucket": "bucket/object"}
	key, err := client.GenerateKey(ctx, "my-key", object) // on upload
	fmt.Println(key.KeyID, key.Key, err)

	opened, err := client.Decrypt(ctx, key.KeyID, key.Ciphertext, object) // on read
	fmt.Println(opened.Equal(key.Key), err)

	_, err = client.Decrypt(ctx, key.KeyID, key.Ciphertext, kms.AssociatedData{"bucket": "bucket/other"})
	fmt.Println(err)
	// Output:
	// my-key [redacted] <nil>
	// true <nil>
	// failed to decrypt a data key with key "my-key": ciphertext is not authentic
}
