package keserver

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
)

// pageSize is how many names one listing returns.
const pageSize = 1024

// checkName refuses what can be no name of what the route is about, or, in a
// listing, no prefix of one (KES spec sections 1.1 and 1.4).
func checkName(route route, name string) error {
	noun := ""
	switch {
	case !strings.HasSuffix(route.path, "/"):
		return nil
	case strings.HasSuffix(route.path, "/list/"):
		if prefix, ok := strings.CutSuffix(name, "*"); ok && kms.ValidName(prefix+"x") || name == "" || kms.ValidName(name) {
			return nil
		}
		return failf(http.StatusBadRequest, "listing pattern '%s' is empty, too long or is invalid", name)
	case strings.HasPrefix(route.path, "/v1/key/"):
		noun = "key name"
	case strings.HasPrefix(route.path, "/v1/policy/"):
		noun = "policy name"
	default:
		noun = "identity"
	}
	if !kms.ValidName(name) {
		return failf(http.StatusBadRequest, "%s '%s' is empty, too long or contains invalid characters", noun, name)
	}
	return nil
}

func (s *Server) create(r *request) (any, error) {
	return nil, s.store(r, Key{Secret: Secret{secret.Random()}, Algorithm: dek.Default().String()})
}

func (s *Server) importKey(r *request) (any, error) {
	var v struct {
		Key    []byte
		Cipher string
	}
	if decode(r.body, &v) != nil {
		return nil, errImportBody
	}
	defer clear(v.Key)
	alg, ok := dek.ParseAlgorithm(v.Cipher)
	if !ok {
		return nil, failf(http.StatusNotAcceptable, "algorithm '%s' is not supported", v.Cipher)
	}
	if alg == dek.ChaCha20 && fips140.Enforced() {
		return nil, failf(http.StatusNotAcceptable, "algorithm '%s' not supported by FIPS 140-2", v.Cipher)
	}
	key, err := NewSecret(v.Key)
	if err != nil {
		return nil, failf(http.StatusNotAcceptable, "invalid key size for '%s'", v.Cipher)
	}
	return nil, s.store(r, Key{Secret: key, Algorithm: alg.String()})
}

func (s *Server) store(r *request, key Key) error {
	key.HMAC = Secret{secret.Random()}
	key.CreatedAt, key.CreatedBy = time.Now().UTC(), r.identity
	if err := s.keys.Create(r.ctx, r.name, key); err != nil {
		return storeError(err, "create key")
	}
	s.audited(r)
	return nil
}

func (s *Server) describe(r *request) (any, error) {
	key, err := s.keys.Get(r.ctx, r.name)
	if err != nil {
		return nil, storeError(err, "read key")
	}
	return struct {
		Name      string    `json:"name"`
		Algorithm string    `json:"algorithm"`
		CreatedAt time.Time `json:"created_at"`
		CreatedBy string    `json:"created_by,omitempty"`
	}{r.name, key.Algorithm, key.CreatedAt, key.CreatedBy}, nil
}

func (s *Server) deleteKey(r *request) (any, error) {
	if err := s.keys.Delete(r.ctx, r.name); err != nil {
		return nil, storeError(err, "delete key")
	}
	s.audited(r)
	return nil, nil
}

// list returns the first names only: where a listing is to go on is told, and
// cannot be asked for (KES spec section 1.4).
func (s *Server) list(r *request) (any, error) {
	if r.name == "*" {
		r.name = ""
	}
	names, err := s.keys.List(r.ctx, r.name)
	if err != nil {
		return nil, storeError(err, "list keys")
	}
	v := struct {
		Names      []string `json:"names"`
		ContinueAt string   `json:"continue_at,omitempty"`
	}{Names: append([]string{}, names[:min(len(names), pageSize)]...)}
	if len(names) > pageSize {
		v.ContinueAt = names[pageSize]
	}
	return v, nil
}

type plaintext struct {
	Plaintext []byte `json:"plaintext"`
}

type ciphertext struct {
	Ciphertext []byte `json:"ciphertext"`
}

func (s *Server) generate(r *request) (any, error) {
	var v struct{ Context []byte }
	if !r.noBody && decode(r.body, &v) != nil {
		return nil, errBody
	}
	key, alg, err := s.key(r)
	if err != nil {
		return nil, err
	}
	data := kms.RandomDataKey()
	return struct {
		plaintext
		ciphertext
	}{
		plaintext{data.Bytes()},
		ciphertext{dek.Seal(nil, key.Secret.Bytes(), alg, data.Bytes(), v.Context)},
	}, nil
}

func (s *Server) encrypt(r *request) (any, error) {
	var v struct{ Plaintext, Context []byte }
	if decode(r.body, &v) != nil {
		return nil, errBody
	}
	defer clear(v.Plaintext)
	key, alg, err := s.key(r)
	if err != nil {
		return nil, err
	}
	return ciphertext{dek.Seal(nil, key.Secret.Bytes(), alg, v.Plaintext, v.Context)}, nil
}

func (s *Server) decrypt(r *request) (any, error) {
	var v struct{ Ciphertext, Context []byte }
	if decode(r.body, &v) != nil {
		return nil, errBody
	}
	key, alg, err := s.key(r)
	if err != nil {
		return nil, err
	}
	opened, err := dek.Open([]byte{}, key.Secret.Bytes(), alg, v.Ciphertext, v.Context)
	if err != nil {
		return nil, errNotAuthentic
	}
	if s.legacy && len(opened) == 0 {
		opened = nil
	}
	return plaintext{opened}, nil
}

func (s *Server) hmac(r *request) (any, error) {
	var v struct{ Message []byte }
	if decode(r.body, &v) != nil {
		return nil, errBody
	}
	key, _, err := s.key(r)
	if err != nil {
		return nil, err
	}
	if key.HMAC.IsZero() {
		return nil, failf(http.StatusConflict, "key does not support HMAC")
	}
	mac := hmac.New(sha256.New, key.HMAC.Bytes())
	mac.Write(v.Message)
	return struct {
		HMAC []byte `json:"hmac"`
	}{mac.Sum(nil)}, nil
}

// key returns the key that a request names, fit for use.
func (s *Server) key(r *request) (Key, dek.Algorithm, error) {
	key, err := s.keys.Get(r.ctx, r.name)
	if err != nil {
		return Key{}, 0, storeError(err, "read key")
	}
	alg, ok := dek.ParseAlgorithm(key.Algorithm)
	if !ok || key.Secret.IsZero() || alg == dek.ChaCha20 && fips140.Enforced() {
		return Key{}, 0, storeError(errUnusable, "read key")
	}
	return key, alg, nil
}

// storeError turns what a KeyStore returns into an answer.
func storeError(err error, doing string) error {
	switch {
	case errors.Is(err, kms.ErrKeyNotFound):
		return errKeyNotFound
	case errors.Is(err, kms.ErrKeyExists):
		return errKeyExists
	}
	return &failure{http.StatusBadGateway, "failed to " + doing, err}
}

var errUnusable = errors.New("it is of no algorithm that can be used here")

// decode reads the first JSON value of a body; what follows is ignored.
func decode(body []byte, v any) error {
	return json.NewDecoder(bytes.NewReader(body)).Decode(v)
}
