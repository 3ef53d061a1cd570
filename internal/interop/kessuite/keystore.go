//go:build unix

package kessuite

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// pair is the associated data of these tests.
var pair = kms.AssociatedData{"a": "b"}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// testKeyStore hands one key store to and fro between the real server and
// keserver.Dir: what either made and sealed the other opens.
func testKeyStore(t *testing.T, binary string, g Generation) {
	for name, o := range map[string]*kesproc.Options{"AES256": nil, "ChaCha20": chacha20} {
		t.Run(name, func(t *testing.T) {
			d := kesproc.NewDeployment(t, binary, o)
			real := d.Start(t)
			call(t, d, real, "create/theirs", nil, http.StatusOK)
			before := call(t, d, real, "generate/theirs", marshal(t, message{Context: pair.Canonical()}), http.StatusOK)
			theirs := describe(t, d, real, "theirs")
			if theirs.Algorithm != name || theirs.CreatedAt.IsZero() || theirs.CreatedBy != d.Client.Identity {
				t.Errorf("theirs: %+v", theirs)
			}
			real.Stop(t)
			file := read(t, filepath.Join(d.KeyStore, "theirs"))

			store, err := keserver.OpenDir(d.KeyStore)
			if err != nil {
				t.Fatal(err)
			}
			ours := kestest.NewServerWith(kestest.Options{KeyStore: store})
			t.Cleanup(ours.Close)
			backend := ours.Backend(nil)
			if key, err := backend.Decrypt(t.Context(), "theirs", before.Ciphertext, pair); err != nil || !bytes.Equal(key.Bytes(), before.Plaintext) {
				t.Errorf("sealed there: %v, or another data key", err)
			}
			info, err := backend.DescribeKey(t.Context(), "theirs")
			if err != nil || info.Algorithm != name || !info.CreatedAt.Equal(theirs.CreatedAt) || info.CreatedBy != theirs.CreatedBy {
				t.Errorf("theirs, as served here: %+v, %v; there: %+v", info, err, theirs)
			}
			after, err := backend.GenerateKey(t.Context(), "theirs", pair)
			if err != nil {
				t.Fatal(err)
			}
			if err := backend.CreateKey(t.Context(), "ours"); err != nil {
				t.Fatal(err)
			}
			made, err := backend.GenerateKey(t.Context(), "ours", pair)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, filepath.Join(d.KeyStore, "theirs")), file) {
				t.Error("serving a key has changed its file")
			}

			real.Restart(t)
			opens := func(key string, ciphertext, plaintext []byte) {
				t.Helper()
				body := marshal(t, message{Ciphertext: ciphertext, Context: pair.Canonical()})
				if opened := call(t, d, real, "decrypt/"+key, body, http.StatusOK); !bytes.Equal(opened.Plaintext, plaintext) {
					t.Errorf("%s: another data key", key)
				}
			}
			opens("theirs", before.Ciphertext, before.Plaintext)
			if !g.ReadsNewest {
				return
			}
			opens("theirs", after.Ciphertext, after.Key.Bytes())
			opens("ours", made.Ciphertext, made.Key.Bytes())
			info, err = backend.DescribeKey(t.Context(), "ours")
			if err != nil {
				t.Fatal(err)
			}
			if there := describe(t, d, real, "ours"); there.Algorithm != info.Algorithm || !there.CreatedAt.Equal(info.CreatedAt) || there.CreatedBy != ours.Admin.Identity() {
				t.Errorf("ours, as served there: %+v; here: %+v", there, info)
			}
			call(t, d, real, "create/ours", nil, http.StatusBadRequest)
			if entries, err := os.ReadDir(d.KeyStore); err != nil || len(entries) != 2 {
				t.Errorf("the key store holds %d files, %v", len(entries), err)
			}
		})
	}
}

type description struct {
	Algorithm string
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

func describe(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, key string) (v description) {
	t.Helper()
	resp, err := client(t, d, time.Minute).Get(s.Endpoint() + "/v1/key/describe/" + key)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", key, resp.Status, err)
	}
	return v
}
