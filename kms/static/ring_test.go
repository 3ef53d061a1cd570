package static_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

func ringPath(t *testing.T) string {
	return filepath.Join(t.TempDir(), "config", "objseal", "keys")
}

func TestCreateRing(t *testing.T) {
	path := ringPath(t)
	if _, err := static.OpenRing(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("OpenRing without a ring: %v", err)
	}
	made, created, err := static.CreateRing(path)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if name := made.DefaultKeyID(); !kms.ValidName(name) || len(name) != len("local-01234567") || !strings.HasPrefix(name, "local-") {
		t.Errorf("key name %q", name)
	}
	if runtime.GOOS != "windows" {
		for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
			if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, want %v (%v)", p, info.Mode().Perm(), want, err)
			}
		}
	}
	onlyTheRingIn(t, filepath.Dir(path))

	key, err := made.GenerateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, created, err := static.CreateRing(path)
	if err != nil || created {
		t.Fatalf("second CreateRing: created %v, %v", created, err)
	}
	opened, err := static.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*static.Backend{"created again": again, "opened": opened} {
		if k, err := b.Decrypt(t.Context(), key.KeyID, key.Ciphertext, nil); err != nil || !k.Equal(key.Key) {
			t.Errorf("the ring %s has another key: %v", name, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the second CreateRing changed the file (%v)", err)
	}
}

func onlyTheRingIn(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "keys" {
		t.Errorf("beside the ring there is more: %v (%v)", entries, err)
	}
}

// TestCreateRingConcurrently: one wins, all use its key. Processes and
// goroutines are the same here, the package holds no state.
func TestCreateRingConcurrently(t *testing.T) {
	path := ringPath(t)
	const n = 16
	rings, created := make([]*static.Backend, n), make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if rings[i], created[i], err = static.CreateRing(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	winners := 0
	for i := range n {
		if created[i] {
			winners++
		}
		if rings[i].DefaultKeyID() != rings[0].DefaultKeyID() {
			t.Error("two rings with different keys")
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d created the ring", winners, n)
	}
	onlyTheRingIn(t, filepath.Dir(path))
}

func TestCreateRingFails(t *testing.T) {
	path := write(t, "")
	if _, created, err := static.CreateRing(path); err == nil || created {
		t.Errorf("an empty ring: created %v, %v", created, err)
	}
	if text, err := os.ReadFile(path); err != nil || len(text) != 0 {
		t.Errorf("CreateRing wrote into a file that was there (%v)", err)
	}
	if _, created, err := static.CreateRing(filepath.Join(path, "below", "a", "file")); err == nil || created {
		t.Errorf("below a file: created %v, %v", created, err)
	}
}

func TestOpenRingExposed(t *testing.T) {
	path := write(t, "k:"+encodedKey+"\n")
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700, 0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666} {
		t.Run(fmt.Sprintf("mode=%#o", mode), func(t *testing.T) {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := static.OpenRing(path)
			var exposed *static.RingExposedError
			switch refuse := mode&0o077 != 0 && runtime.GOOS != "windows"; {
			case refuse != errors.Is(err, static.ErrRingExposed), refuse != errors.As(err, &exposed), !refuse && err != nil:
				t.Errorf("error %v", err)
			case refuse && !strings.Contains(exposed.Hint(), "chmod 600 "+path):
				t.Errorf("hint %q", exposed.Hint())
			}
			if err != nil {
				checkFileError(t, err, static.ErrRingExposed, path, 0)
			}
		})
	}
}

func TestOpenRingRefuses(t *testing.T) {
	path := write(t, "k:"+encodedKey+"\nbroken\n")
	_, err := static.OpenRing(path)
	checkFileError(t, err, static.ErrKeyFormat, path, 2)

	dir := t.TempDir()
	_, err = static.OpenRing(dir)
	checkFileError(t, err, errAny, dir, 0)

	// Not about its mode: a device is no key ring at all.
	_, err = static.OpenRing(os.DevNull)
	checkFileError(t, err, errAny, os.DevNull, 0)
	if errors.Is(err, static.ErrRingExposed) {
		t.Error(err)
	}

	path = write(t, "k:"+encodedKey+"\n:"+encodedKey+"\n")
	_, err = static.OpenRing(path)
	checkFileError(t, err, kms.ErrInvalidKeyID, path, 0)
}

func TestAddKey(t *testing.T) {
	path := ringPath(t)
	first, _, err := static.CreateRing(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := first.GenerateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := newKey(t, "next")
	if err := static.AddKey(path, second); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(after), string(before)) {
		t.Errorf("AddKey changed what was there (%v)", err)
	}
	if err := static.AddKey(path, newKey(t, "next")); !errors.Is(err, kms.ErrKeyExists) {
		t.Errorf("a second key of one name: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(after) {
		t.Errorf("a refused key changed the file (%v)", err)
	}

	ring, err := static.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	if ring.DefaultKeyID() != first.DefaultKeyID() {
		t.Error("AddKey changed the default key")
	}
	if k, err := ring.Decrypt(t.Context(), old.KeyID, old.Ciphertext, nil); err != nil || !k.Equal(old.Key) {
		t.Errorf("the old key is lost: %v", err)
	}
	alone, err := static.New([]static.Key{second}, "")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.GenerateKey(t.Context(), "next", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Decrypt(t.Context(), "next", sealed.Ciphertext, nil); err != nil {
		t.Errorf("the ring has another key of the new name: %v", err)
	}
}

func newKey(t *testing.T, name string) static.Key {
	t.Helper()
	key, err := static.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAddKeyRefuses(t *testing.T) {
	key := newKey(t, "k")
	if err := static.AddKey(ringPath(t), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a ring: %v", err)
	}
	const one = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	path := write(t, one)
	if err := static.AddKey(path, static.Key{Name: "zero"}); !errors.Is(err, kms.ErrKeySize) {
		t.Errorf("a key without bytes: %v", err)
	}
	odd, err := static.ParseKey("a b:" + encodedKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := static.AddKey(path, odd); !errors.Is(err, kms.ErrInvalidKeyID) {
		t.Errorf("a name with a space: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != one {
		t.Errorf("a refused key left something in the file (%v)", err)
	}
	// The file ends without a line break: the new key must not join the old.
	if err := static.AddKey(path, key); err != nil {
		t.Fatal(err)
	}
	if ring, err := static.OpenRing(path); err != nil || ring.DefaultKeyID() != "one" {
		t.Errorf("the ring is damaged: %v", err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := static.AddKey(path, newKey(t, "other")); !errors.Is(err, static.ErrRingExposed) {
			t.Errorf("a ring that others can read: %v", err)
		}
	}
}

// TestAddKeyConcurrently: of many keys of one name one gets in, and whoever was
// told so has that one. Many rounds, because all must look before one writes.
func TestAddKeyConcurrently(t *testing.T) {
	path := ringPath(t)
	if _, _, err := static.CreateRing(path); err != nil {
		t.Fatal(err)
	}
	const rounds, n = 30, 8
	keys, added := [rounds][n]static.Key{}, [rounds][n]bool{}
	for round := range rounds {
		name := fmt.Sprintf("round-%d", round)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range n {
			keys[round][i] = newKey(t, name)
			wg.Go(func() {
				<-start
				switch err := static.AddKey(path, keys[round][i]); {
				case err == nil:
					added[round][i] = true
				case !errors.Is(err, kms.ErrKeyExists):
					t.Error(err)
				}
			})
		}
		other := newKey(t, fmt.Sprintf("other-%d", round))
		wg.Go(func() {
			<-start
			if err := static.AddKey(path, other); err != nil {
				t.Error(err)
			}
		})
		close(start)
		wg.Wait()
	}
	ring, err := static.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		sealed, err := ring.GenerateKey(t.Context(), keys[round][0].Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		winners := 0
		for i, key := range keys[round] {
			alone, err := static.New([]static.Key{key}, "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = alone.Decrypt(t.Context(), key.Name, sealed.Ciphertext, nil)
			if added[round][i] {
				winners++
			}
			if added[round][i] != (err == nil) {
				t.Errorf("added %v, but opening with it: %v", added[round][i], err)
			}
		}
		if winners != 1 {
			t.Errorf("%d keys of one name were added", winners)
		}
	}
	if names, err := ring.ListKeys(t.Context(), "other-"); err != nil || len(names) != rounds {
		t.Errorf("%d of %d other keys are there (%v)", len(names), rounds, err)
	}
}

// TestAddKeyRival lets somebody else write a key of the same name at every moment
// of an AddKey: before it looks, between its look and its own write, after that.
func TestAddKeyRival(t *testing.T) {
	rival := newKey(t, "k")
	alone, err := static.New([]static.Key{rival}, "")
	if err != nil {
		t.Fatal(err)
	}
	for moment := range 400 {
		path := write(t, "first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		started, written := make(chan struct{}), make(chan error)
		go func() {
			close(started)
			for range moment * 100 {
				spin.Add(1)
			}
			_, err := f.WriteString(rival.Text() + "\n")
			written <- errors.Join(err, f.Close())
		}()
		<-started
		added := static.AddKey(path, newKey(t, "k"))
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		ring, err := static.OpenRing(path)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := ring.GenerateKey(t.Context(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = alone.Decrypt(t.Context(), "k", sealed.Ciphertext, nil)
		switch rivalWon := err == nil; {
		case rivalWon && !errors.Is(added, kms.ErrKeyExists):
			t.Fatalf("moment %d: the rival's key counts, AddKey: %v", moment, added)
		case !rivalWon && added != nil:
			t.Fatalf("moment %d: the key counts, AddKey: %v", moment, added)
		}
	}
}

var spin atomic.Int64

// TestRingFirstKeyCounts: what a lost race of AddKey leaves behind.
func TestRingFirstKeyCounts(t *testing.T) {
	first, second := newKey(t, "k"), newKey(t, "k")
	path := write(t, first.Text()+"\n"+second.Text()+"\n")
	ring, err := static.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.GenerateKey(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := static.New([]static.Key{first}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Decrypt(t.Context(), "k", sealed.Ciphertext, nil); err != nil {
		t.Errorf("the first key does not count: %v", err)
	}
}

func TestDefaultRingPath(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} {
		t.Setenv(name, dir)
	}
	path, err := static.DefaultRingPath()
	if err != nil {
		t.Fatal(err)
	}
	if rel, err := filepath.Rel(dir, path); err != nil || !strings.HasSuffix(filepath.ToSlash(rel), "objseal/keys") || strings.HasPrefix(rel, "..") {
		t.Errorf("path %s is not objseal/keys below %s", path, dir)
	}
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} {
		t.Setenv(name, "")
	}
	if _, err := static.DefaultRingPath(); err == nil {
		t.Error("no configuration directory, and no error")
	}
}
