package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGolden decrypts with the command what real MinIO servers sealed under a
// built-in key, a customer key, or KES without the server: its key store.
func TestGolden(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "golden")
	var index struct {
		Objects []struct {
			File, Deployment, Scheme, SHA256, ETag, KES string
			Size                                        int64
			KMSKeyID                                    string `json:"kms_key_id"`
			KMSSecretKey                                string `json:"kms_secret_key"`
			CustomerKey                                 string `json:"ssec_key_base64"`
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil {
		t.Fatal(err)
	}
	opened := make(map[string]int)
	for _, o := range index.Objects {
		t.Run(o.File, func(t *testing.T) {
			tmp := t.TempDir()
			out := filepath.Join(tmp, "out")
			args := []string{"decrypt", "--json", "-o", out, filepath.Join(dir, o.File)}
			if o.KES != "" {
				args = append(args, "--keystore", filepath.Join(dir, "keys", o.Deployment))
			} else {
				t.Setenv("MINIO_KMS_SECRET_KEY", o.KMSSecretKey)
			}
			if o.CustomerKey != "" {
				key := filepath.Join(tmp, "key")
				if err := os.WriteFile(key, []byte(o.CustomerKey+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--customer-key-file", key)
			}
			var stdout, stderr bytes.Buffer
			code := run(args, nil, &stdout, &stderr)
			if o.Scheme == "NONE" {
				if _, err := os.Stat(out); code != 1 || err == nil || !strings.Contains(stderr.String(), "not encrypted") {
					t.Fatalf("exit code %d, %s", code, stderr.String())
				}
				return
			}
			if code != 0 {
				t.Fatalf("exit code %d, %s", code, stderr.String())
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != o.SHA256 || int64(len(got)) != o.Size {
				t.Errorf("%d bytes of sha256 %x, want %d of %s", len(got), sum, o.Size, o.SHA256)
			}
			var r result
			if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if r.ETag != o.ETag || r.SSE != o.Scheme || r.Size != o.Size || o.Scheme != "SSE-C" && r.KMSKeyID != o.KMSKeyID {
				t.Errorf("%+v, want ETag %s", r, o.ETag)
			}
			opened[o.Deployment]++
		})
	}
	for deployment, least := range map[string]int{"A": 40, "B": 5, "C": 5, "E": 8, "G": 5, "H": 6} {
		t.Logf("%s: opened %d objects", deployment, opened[deployment])
		if opened[deployment] < least {
			t.Errorf("%s: opened only %d objects", deployment, opened[deployment])
		}
	}
}
