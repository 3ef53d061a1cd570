//go:build unix

package kessuite

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
)

// testServer checks that the servers do what the other tests take for granted,
// with nothing of objseal between: a plain HTTP client speaks to them.
func testServer(t *testing.T, binary string) {
	t.Run("restart keeps keys and port", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		endpoint := s.Endpoint()
		call(t, d, s, "create/app-1", nil, http.StatusOK)
		sealed := generate(t, d, s, "app-1")

		s.Kill()
		s.Restart(t)
		if s.Endpoint() != endpoint {
			t.Errorf("restarted at %s, was at %s", s.Endpoint(), endpoint)
		}
		open(t, d, s, "app-1", sealed)

		s.Stop(t)
		s.Restart(t)
		open(t, d, s, "app-1", sealed)
	})

	t.Run("suspended server hangs until it is resumed", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		s.Suspend(t)
		_, err := client(t, d, 200*time.Millisecond).Get(s.Endpoint() + "/version")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("asking a suspended server: %v, want a timeout", err)
		}
		s.Resume(t)
		call(t, d, s, "create/app-1", nil, http.StatusOK)
	})

	t.Run("killed server refuses connections", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		s.Kill()
		if resp, err := client(t, d, time.Minute).Get(s.Endpoint() + "/version"); err == nil {
			t.Errorf("a killed server answers %s", resp.Status)
		}
	})

	t.Run("three servers over one key store", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		first, second, third := d.Start(t), d.Start(t), d.Start(t)
		call(t, d, first, "create/app-1", nil, http.StatusOK)
		sealed := generate(t, d, second, "app-1")
		first.Kill()
		second.Kill()
		open(t, d, third, "app-1", sealed)
		if _, err := os.Stat(d.KeyStore + "/app-1"); err != nil {
			t.Errorf("the key is not in the key store: %v", err)
		}
	})

	t.Run("GODEBUG=cpu.aes=off makes ChaCha20 keys", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, chacha20)
		s := d.Start(t)
		call(t, d, s, "create/app-1", nil, http.StatusOK)
		var key struct{ Algorithm string }
		resp, err := client(t, d, time.Minute).Get(s.Endpoint() + "/v1/key/describe/app-1")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&key); err != nil || key.Algorithm != "ChaCha20" {
			t.Errorf("the key's algorithm is %q (%v), want ChaCha20", key.Algorithm, err)
		}
	})
}

// chacha20 makes servers behave as on a CPU without AES instructions.
var chacha20 = &kesproc.Options{Env: []string{"GODEBUG=cpu.aes=off"}}

func client(t *testing.T, d *kesproc.Deployment, timeout time.Duration) *http.Client {
	t.Helper()
	config, err := d.TLS()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: timeout}
}

type message struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
	Context    []byte `json:"context,omitempty"`
}

// call makes one request about keys, wants a status and returns the answer.
func call(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, path string, body []byte, status int) (answer message) {
	t.Helper()
	resp, err := client(t, d, time.Minute).Post(s.Endpoint()+"/v1/key/"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s: %s %s, want status %d", path, resp.Status, text, status)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return answer
}

func generate(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, key string) message {
	t.Helper()
	return call(t, d, s, "generate/"+key, nil, http.StatusOK)
}

func open(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, key string, sealed message) {
	t.Helper()
	body, err := json.Marshal(message{Ciphertext: sealed.Ciphertext})
	if err != nil {
		t.Fatal(err)
	}
	if opened := call(t, d, s, "decrypt/"+key, body, http.StatusOK); !bytes.Equal(opened.Plaintext, sealed.Plaintext) {
		t.Error("the data key is not what it was")
	}
}
