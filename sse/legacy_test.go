package sse_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/minio/sio"

	"github.com/objseal/objseal/sse"
)

// sioSeal is the reference writer of both DARE versions.
func sioSeal(t *testing.T, key, plain []byte, version byte, cipher byte) []byte {
	var b bytes.Buffer
	if _, err := sio.Encrypt(&b, bytes.NewReader(plain), sio.Config{Key: key, MinVersion: version, MaxVersion: version, CipherSuites: []byte{cipher}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLegacy: SSE-C objects as MinIO wrote them before 2017, sealed by
// DARE-SHA256 and with data in DARE 1.0, open only where both are allowed, and
// Rewrap brings the seal up to date (SSE spec sections 1.3 and 9).
func TestLegacy(t *testing.T) {
	external, objectKey, iv := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	kek := sha256.Sum256(append(bytes.Clone(external), iv...))
	plain := someBytes(70000)
	for _, sealVersion := range []byte{sio.Version10, sio.Version20} {
		for _, streamVersion := range []byte{sio.Version10, sio.Version20} {
			for _, cipher := range []byte{sio.AES_256_GCM, sio.CHACHA20_POLY1305} {
				t.Run(fmt.Sprintf("seal=%x/stream=%x/cipher=%d", sealVersion, streamVersion, cipher), func(t *testing.T) {
					data := sioSeal(t, objectKey, plain, streamVersion, cipher)
					s := sealed{sse.Stored{Size: int64(len(data)), Metadata: map[string]string{
						metaIV: base64.StdEncoding.EncodeToString(iv), metaAlg: "DARE-SHA256",
						metaC: base64.StdEncoding.EncodeToString(sioSeal(t, kek[:], objectKey, sealVersion, cipher)),
					}}, data, ""}
					o := sse.OpenOptions{CustomerKey: customerKey(t, 1)}
					if _, err := s.open(nil, object, &o); !errors.Is(err, sse.ErrUnsupported) {
						t.Errorf("opens without AllowLegacySeal: %v", err)
					}
					o.AllowLegacySeal = true
					obj := s.mustOpen(t, nil, object, &o)
					if !obj.LegacySeal || !bytes.Equal(sse.ObjectKeyOf(obj), objectKey) {
						t.Errorf("%+v", obj.Description)
					}
					got, _, err := s.read(obj, sse.Whole)
					if streamVersion == sio.Version10 {
						if sse.KindOf(err) != sse.KindUnsupported || len(got) > 0 {
							t.Errorf("reads DARE 1.0 without AllowLegacyStream: %d bytes, %v", len(got), err)
						}
					} else if err != nil {
						t.Error(err)
					}
					o.AllowLegacyStream = true
					obj = s.mustOpen(t, nil, object, &o)
					if got, _, err := s.read(obj, sse.Whole); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
					if got, _, err := s.read(obj, sse.Range{Offset: 65530, Length: 10}); err != nil || !bytes.Equal(got, plain[65530:65540]) {
						t.Errorf("range: %d bytes, %v", len(got), err)
					}
					cut := s
					cut.data = s.data[:65568]
					if _, _, err := cut.read(obj, sse.Whole); sse.KindOf(err) != sse.KindTruncated {
						t.Errorf("cut at a package: %v", err)
					}
					m, err := sse.Rewrap(background, nil, object, s.Metadata, sse.Request{CustomerKey: customerKey(t, 7)}, &o)
					if err != nil {
						t.Fatal(err)
					}
					s.Metadata = m
					obj = s.mustOpen(t, nil, object, &sse.OpenOptions{CustomerKey: customerKey(t, 7), AllowLegacyStream: true})
					if obj.LegacySeal {
						t.Error("the seal is still legacy")
					}
				})
			}
		}
	}
}

// hmacOf is the H of SSE spec section 1.
func hmacOf(key []byte, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		io.WriteString(m, p)
	}
	return m.Sum(nil)
}

// TestNoDowngrade: a current seal is DARE 2.0, whatever is allowed for legacy
// ones, and sealed metadata is as old as the data may be.
func TestNoDowngrade(t *testing.T) {
	external := bytes.Repeat([]byte{1}, 32)
	s := seal(t, nil, sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}, object, []byte("data"), nil)
	everything := &sse.OpenOptions{CustomerKey: customerKey(t, 1), AllowLegacySeal: true, AllowLegacyStream: true}
	objectKey := sse.ObjectKeyOf(s.mustOpen(t, nil, object, everything))

	sum := md5.Sum([]byte("data"))
	s.Metadata["etag"] = hex.EncodeToString(sioSeal(t, hmacOf(objectKey, "SSE-etag"), sum[:], sio.Version10, sio.AES_256_GCM))
	if _, err := s.mustOpen(t, nil, object, everything).ETag(); err != nil {
		t.Errorf("ETag in DARE 1.0: %v", err)
	}
	if _, err := s.mustOpen(t, nil, object, &sse.OpenOptions{CustomerKey: customerKey(t, 1)}).ETag(); sse.KindOf(err) != sse.KindUnsupported {
		t.Errorf("ETag in DARE 1.0, not allowed: %v", err)
	}

	kek := hmacOf(external, string(unbase64(t, s.Metadata[metaIV])), "SSE-C", "DAREv2-HMAC-SHA256", "bucket/dir/object")
	for version, want := range map[byte]sse.Kind{sio.Version20: sse.KindNone, sio.Version10: sse.KindNotAuthentic} {
		s.Metadata[metaC] = base64.StdEncoding.EncodeToString(sioSeal(t, kek, objectKey, version, sio.AES_256_GCM))
		if _, err := s.open(nil, object, everything); sse.KindOf(err) != want {
			t.Errorf("a seal in DARE %x: %v", version, err)
		}
	}
}

// TestSioOpensOurs: a sealed object taken apart with the reference reader and
// the equations of SSE spec section 1 alone.
func TestSioOpensOurs(t *testing.T) {
	external := bytes.Repeat([]byte{1}, 32)
	plain := someBytes(70000)
	s := seal(t, nil, sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}, object, plain, nil)
	open := func(key, data []byte) []byte {
		t.Helper()
		r, err := sio.DecryptReader(bytes.NewReader(data), sio.Config{Key: key, MinVersion: sio.Version20})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	kek := hmacOf(external, string(unbase64(t, s.Metadata[metaIV])), "SSE-C", "DAREv2-HMAC-SHA256", "bucket/dir/object")
	objectKey := open(kek, unbase64(t, s.Metadata[metaC]))
	if !bytes.Equal(open(objectKey, s.data), plain) {
		t.Error("another plaintext")
	}
	sealedETag := unhex(t, s.Metadata["etag"])
	if len(sealedETag) != 48 || len(open(hmacOf(objectKey, "SSE-etag"), sealedETag)) != 16 {
		t.Error("the ETag is not sealed as MinIO does")
	}
}
