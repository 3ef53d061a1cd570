package gocloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/driver"
	"gocloud.dev/secrets/localsecrets"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/gocloud"
	"github.com/objseal/objseal/kms/kmstest"
)

func localKeeper(t testing.TB) *secrets.Keeper {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	return localsecrets.NewKeeper(key)
}

func newBackend(t testing.TB, keepers map[string]*secrets.Keeper, defaultKeyID string, o *gocloud.Options) *gocloud.Backend {
	t.Helper()
	b, err := gocloud.New(keepers, defaultKeyID, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestConformanceLocal is the suite over keys that the process holds.
func TestConformanceLocal(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		keepers := map[string]*secrets.Keeper{"key-1": localKeeper(t), "key-2": localKeeper(t)}
		return kmstest.Harness{Backend: newBackend(t, keepers, "key-1", nil), KeyIDs: [2]string{"key-1", "key-2"}}
	})
}

// TestConformanceSharedKey is the suite over one key of the server under two
// ids: as a server that opens whatever it has sealed, under any of its keys.
func TestConformanceSharedKey(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		// Not the same keeper twice: Close may be called once.
		key, err := localsecrets.NewRandomKey()
		if err != nil {
			t.Fatal(err)
		}
		keepers := map[string]*secrets.Keeper{"key-1": localsecrets.NewKeeper(key), "key-2": localsecrets.NewKeeper(key)}
		return kmstest.Harness{Backend: newBackend(t, keepers, "key-1", nil), KeyIDs: [2]string{"key-1", "key-2"}}
	})
}

// fake is a driver that does nothing to what it is given, or what it is told to
// do. It shows what reaches a key server, and trusts its input as a keeper must
// not.
type fake struct {
	encrypts, decrypts atomic.Int32
	encrypt, decrypt   func(context.Context, []byte) ([]byte, error) // nil: the identity
	code               gcerrors.ErrorCode                            // of every error
	seen               [][]byte
}

var _ driver.Keeper = (*fake)(nil)

func (f *fake) Encrypt(ctx context.Context, b []byte) ([]byte, error) {
	f.encrypts.Add(1)
	if f.encrypt != nil {
		return f.encrypt(ctx, b)
	}
	f.seen = append(f.seen, slices.Clone(b))
	return slices.Clone(b), nil
}

func (f *fake) Decrypt(ctx context.Context, b []byte) ([]byte, error) {
	f.decrypts.Add(1)
	if f.decrypt != nil {
		return f.decrypt(ctx, b)
	}
	return slices.Clone(b), nil
}

func (f *fake) Close() error                       { return nil }
func (f *fake) ErrorAs(error, any) bool            { return false }
func (f *fake) ErrorCode(error) gcerrors.ErrorCode { return f.code }

func withFake(t testing.TB, f *fake, o *gocloud.Options) *gocloud.Backend {
	return newBackend(t, map[string]*secrets.Keeper{"key": secrets.NewKeeper(f)}, "", o)
}

var someAD = kms.AssociatedData{"bucket": "bucket/object"}

// TestMalleableKeeper: with a keeper that authenticates nothing, associated data
// and every byte of the ciphertext are authenticated all the same.
func TestMalleableKeeper(t *testing.T) {
	f := &fake{}
	b := withFake(t, f, nil)
	g, err := b.GenerateKey(t.Context(), "", someAD)
	if err != nil {
		t.Fatal(err)
	}
	if n := f.encrypts.Load(); n != 1 || f.decrypts.Load() != 0 {
		t.Errorf("GenerateKey: sealed %d times, opened %d times", n, f.decrypts.Load())
	}
	if len(f.seen) != 1 || len(f.seen[0]) != 32 || bytes.Equal(f.seen[0], g.Key.Bytes()) {
		t.Error("the keeper is given something else than a wrapping key")
	}
	for i := range g.Ciphertext {
		c := slices.Clone(g.Ciphertext)
		c[i] ^= 1
		if key, err := b.Decrypt(t.Context(), "key", c, someAD); !errors.Is(err, kms.ErrNotAuthentic) || !key.IsZero() {
			t.Errorf("byte %d of %d changed: %v", i, len(c), err)
		}
	}
	if _, err := b.Decrypt(t.Context(), "key", g.Ciphertext, nil); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("no associated data: %v", err)
	}
	before := f.decrypts.Load()
	if key, err := b.Decrypt(t.Context(), "", g.Ciphertext, someAD); err != nil || !key.Equal(g.Key) {
		t.Errorf("Decrypt: %v", err)
	}
	if n := f.decrypts.Load() - before; n != 1 {
		t.Errorf("Decrypt: opened %d times", n)
	}
}

// TestNothingIsLeft: what a driver returned is wiped, whether or not it is the
// memory of its input.
func TestNothingIsLeft(t *testing.T) {
	for name, answer := range map[string]func([]byte) []byte{
		"its own memory": slices.Clone[[]byte],
		"its input":      func(b []byte) []byte { return b },
	} {
		var seen [][]byte
		see := func(_ context.Context, in []byte) ([]byte, error) {
			out := answer(in)
			seen = append(seen, out)
			return out, nil
		}
		b := withFake(t, &fake{encrypt: see, decrypt: see}, nil)
		g, err := b.GenerateKey(t.Context(), "key", someAD)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := b.Decrypt(t.Context(), "key", g.Ciphertext, someAD); err != nil || !key.Equal(g.Key) {
			t.Errorf("%s: another data key, or %v", name, err)
		}
		for i, memory := range seen {
			if slices.ContainsFunc(memory, func(c byte) bool { return c != 0 }) {
				t.Errorf("%s: answer %d of the driver is not wiped", name, i)
			}
		}
	}
}

func TestHostileCiphertext(t *testing.T) {
	f := &fake{}
	b := withFake(t, f, nil)
	for what, c := range map[string][]byte{
		"nothing":              nil,
		"version":              {1},
		"version 0":            make([]byte, 200),
		"no length":            {1, 4},
		"no wrapping key":      append([]byte{1, 0, 0}, make([]byte, 100)...),
		"wrapping key only":    append([]byte{1, 32, 0}, make([]byte, 32)...),
		"length beyond":        append([]byte{1, 0xff, 0xff}, make([]byte, 200)...),
		"data key without tag": append([]byte{1, 32, 0}, make([]byte, 32+43)...),
		"more than the client": append([]byte{1, 32, 0}, make([]byte, kms.MaxCiphertext)...),
	} {
		if key, err := b.Decrypt(t.Context(), "key", c, nil); !errors.Is(err, kms.ErrNotAuthentic) || !key.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := f.decrypts.Load(); n != 0 {
		t.Errorf("the key server was asked %d times", n)
	}
	for _, n := range []int{0, 1, 31, 33, 64} { // what the same key sealed for another use
		c := slices.Concat([]byte{1, byte(n + 1), 0}, make([]byte, n+1), make([]byte, 76))
		f.decrypt = func(context.Context, []byte) ([]byte, error) { return make([]byte, n), nil }
		if _, err := b.Decrypt(t.Context(), "key", c, nil); !errors.Is(err, kms.ErrNotAuthentic) {
			t.Errorf("a wrapping key of %d bytes: %v", n, err)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	cause := errors.New("cause")
	for code, kind := range map[gcerrors.ErrorCode]error{
		gcerrors.NotFound:           kms.ErrKeyNotFound,
		gcerrors.PermissionDenied:   kms.ErrNotPermitted,
		gcerrors.Unimplemented:      kms.ErrUnsupported,
		gcerrors.ResourceExhausted:  kms.ErrUnreachable,
		gcerrors.DeadlineExceeded:   kms.ErrUnreachable,
		gcerrors.Canceled:           context.Canceled,
		gcerrors.Internal:           cause,
		gcerrors.FailedPrecondition: cause,
		gcerrors.InvalidArgument:    cause,
		gcerrors.Unknown:            cause,
	} {
		fail := func(context.Context, []byte) ([]byte, error) { return nil, cause }
		client := kms.NewClient(withFake(t, &fake{encrypt: fail, decrypt: fail, code: code}, nil), nil)
		_, generate := client.GenerateKey(t.Context(), "key", nil)
		_, decrypt := client.Decrypt(t.Context(), "key", slices.Concat([]byte{1, 32, 0}, make([]byte, 32+76)), nil)
		_, status := client.Status(t.Context())
		for what, err := range map[string]error{"GenerateKey": generate, "Decrypt": decrypt, "Status": status} {
			if !errors.Is(err, kind) || !errors.Is(err, cause) || errors.Is(err, kms.ErrNotAuthentic) {
				t.Errorf("%v: %s: %v, want %v", code, what, err, kind)
			}
		}
	}
}

// TestWhyNotOpened: a keeper's refusal to open is ErrNotAuthentic only if that
// keeper seals and opens something else.
func TestWhyNotOpened(t *testing.T) {
	refused, down := errors.New("refused"), errors.New("down")
	ciphertext := slices.Concat([]byte{1, 4, 0}, []byte("evil"), make([]byte, 76))
	decrypt := func(_ context.Context, b []byte) ([]byte, error) {
		if string(b) == "evil" {
			return nil, refused
		}
		return b, nil
	}
	for _, code := range []gcerrors.ErrorCode{gcerrors.Unknown, gcerrors.InvalidArgument, gcerrors.Internal} {
		f := &fake{decrypt: decrypt, code: code}
		if _, err := withFake(t, f, nil).Decrypt(t.Context(), "key", ciphertext, nil); !errors.Is(err, kms.ErrNotAuthentic) || !errors.Is(err, refused) {
			t.Errorf("%v, it works: %v", code, err)
		}
		if e, d := f.encrypts.Load(), f.decrypts.Load(); e != 1 || d != 2 {
			t.Errorf("%v: asked %d and %d times", code, e, d)
		}
		f = &fake{decrypt: decrypt, code: code, encrypt: func(context.Context, []byte) ([]byte, error) { return nil, down }}
		if _, err := withFake(t, f, nil).Decrypt(t.Context(), "key", ciphertext, nil); errors.Is(err, kms.ErrNotAuthentic) || !errors.Is(err, refused) || !errors.Is(err, down) {
			t.Errorf("%v, it does not work: %v", code, err)
		}
	}
	f := &fake{code: gcerrors.Unknown, decrypt: func(context.Context, []byte) ([]byte, error) { return make([]byte, 32), nil }}
	if _, err := withFake(t, f, nil).Status(t.Context()); err == nil {
		t.Error("Status of a key server that opens to something else: no error")
	}
	f = &fake{decrypt: decrypt, code: gcerrors.FailedPrecondition}
	if _, err := withFake(t, f, nil).Decrypt(t.Context(), "key", ciphertext, nil); errors.Is(err, kms.ErrNotAuthentic) || f.encrypts.Load() != 0 {
		t.Errorf("failed precondition: %v", err)
	}
	classify := func(err error) error {
		if errors.Is(err, refused) {
			return fmt.Errorf("%w: %w", kms.ErrNotPermitted, err)
		}
		return nil
	}
	f = &fake{decrypt: decrypt, code: gcerrors.Unknown}
	if _, err := withFake(t, f, &gocloud.Options{Classify: classify}).Decrypt(t.Context(), "key", ciphertext, nil); !errors.Is(err, kms.ErrNotPermitted) || f.encrypts.Load() != 0 {
		t.Errorf("classified: %v", err)
	}
}

// TestHang: a driver that does not look at its context, as that of Vault.
func TestHang(t *testing.T) {
	release := make(chan struct{})
	hang := func(context.Context, []byte) ([]byte, error) { <-release; return make([]byte, 32), nil }
	defer close(release)
	for what, c := range map[string]struct {
		timeout time.Duration
		cancel  bool
		kind    error
	}{
		"timeout":                 {time.Millisecond, false, kms.ErrUnreachable},
		"cancelled":               {0, true, context.Canceled},
		"cancelled, without time": {-1, true, context.Canceled},
	} {
		client := kms.NewClient(withFake(t, &fake{encrypt: hang, decrypt: hang}, &gocloud.Options{Timeout: c.timeout}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		if c.cancel {
			time.AfterFunc(time.Millisecond, cancel)
		}
		_, generate := client.GenerateKey(ctx, "key", nil)
		_, decrypt := client.Decrypt(ctx, "key", slices.Concat([]byte{1, 32, 0}, make([]byte, 32+76)), nil)
		_, status := client.Status(ctx)
		for _, err := range []error{generate, decrypt, status} {
			if !errors.Is(err, c.kind) {
				t.Errorf("%s: %v", what, err)
			}
		}
		cancel()
	}
}

func TestPanic(t *testing.T) {
	client := kms.NewClient(withFake(t, &fake{encrypt: func(context.Context, []byte) ([]byte, error) { panic("odd answer") }}, nil), nil)
	var failed *kms.Error
	if _, err := client.GenerateKey(t.Context(), "key", nil); !errors.As(err, &failed) {
		t.Errorf("GenerateKey: %v", err)
	}
}

func TestOddCiphertexts(t *testing.T) {
	for _, n := range []int{0, 1<<16 - 1, 1 << 16} {
		client := kms.NewClient(withFake(t, &fake{encrypt: func(context.Context, []byte) ([]byte, error) { return make([]byte, n), nil }}, nil), nil)
		if _, err := client.GenerateKey(t.Context(), "key", nil); err == nil {
			t.Errorf("a ciphertext of %d bytes: no error", n)
		}
	}
}

func TestNew(t *testing.T) {
	one, two := localKeeper(t), localKeeper(t)
	for what, c := range map[string]struct {
		keepers map[string]*secrets.Keeper
		key     string
		kind    error
	}{
		"none":                {nil, "", kms.ErrNotConfigured},
		"no id":               {map[string]*secrets.Keeper{"": one}, "", kms.ErrInvalidKeyID},
		"nil keeper":          {map[string]*secrets.Keeper{"a": nil}, "", kms.ErrNotConfigured},
		"missing default key": {map[string]*secrets.Keeper{"a": one}, "b", kms.ErrKeyNotFound},
	} {
		if _, err := gocloud.New(c.keepers, c.key, nil); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
	}
	b := newBackend(t, map[string]*secrets.Keeper{"a": one, "b": two}, "", nil)
	if _, err := b.GenerateKey(t.Context(), "", nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("no default key: %v", err)
	}
	if _, err := b.Status(t.Context()); err != nil {
		t.Errorf("Status without a default key: %v", err)
	}
}

func TestOpen(t *testing.T) {
	const url = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
	b, err := gocloud.Open(t.Context(), map[string]string{"key": url}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.GenerateKey(t.Context(), "", someAD)
	if err != nil || g.KeyID != "key" {
		t.Fatalf("GenerateKey: %q, %v", g.KeyID, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.GenerateKey(t.Context(), "", someAD); err == nil {
		t.Error("a closed Backend works")
	}
	const secret = "smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4"
	for _, u := range []string{"", "://" + secret, secret, "base64kee://" + secret + "=", "base64key://" + secret, "base64key://" + secret + "=?x=1", "%zz://" + secret, "base64key://%" + secret} {
		_, err := gocloud.Open(t.Context(), map[string]string{"key": u, "other": url}, "", nil)
		if !errors.Is(err, kms.ErrNotConfigured) {
			t.Errorf("URL of %d bytes: %v", len(u), err)
		}
		if err != nil && strings.Contains(err.Error(), secret[:8]) {
			t.Error("the error shows the key")
		}
	}
	if _, err := gocloud.Open(t.Context(), map[string]string{"key": url}, "other", nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("missing default key: %v", err)
	}
}

// TestVector opens what an earlier build sealed: the layout does not change.
func TestVector(t *testing.T) {
	b, err := gocloud.Open(t.Context(), map[string]string{vectorKeyID: vectorURL}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	key, err := b.Decrypt(t.Context(), vectorKeyID, vectorCiphertext(t), someAD)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Equal(vectorKey(t)) {
		t.Error("another key")
	}
}
