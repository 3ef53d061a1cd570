package peers

import (
	"context"
	"errors"
	"io"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

// An Envelope is an implementation of whole SSE-S3 objects under a built-in key,
// as MinIO stores them: data key, sealed object key, metadata, sealed ETag, body.
type Envelope struct {
	Name string
	New  func(key *[KeySize]byte) ObjectCodec
}

// An Object says what is sealed. Bucket and name are bound to the sealed key.
type Object struct {
	Bucket, Name string
	MD5          bool // the ETag is the MD5 of the body; else random bytes
}

// An ObjectCodec seals and opens objects under one key. buf is for Copy.
type ObjectCodec struct {
	Seal func(o Object, dst io.Writer, body io.Reader, buf []byte) (metadata map[string]string, err error)
	// Open checks the ETag too, where that is an MD5.
	Open func(o Object, dst io.Writer, sealed io.ReaderAt, size int64, metadata map[string]string, buf []byte) error
}

// Envelopes are all implementations of whole objects.
var Envelopes = []Envelope{
	{"objseal", newSSE},
	{"sio", newSIOEnvelope},
}

// KeyName is the name of the built-in key in the metadata.
const KeyName = "my-key"

func newSSE(key *[KeySize]byte) ObjectCodec {
	client, err := Client(key)
	if err != nil {
		panic("peers: internal error: " + err.Error())
	}
	ctx := context.Background()
	return ObjectCodec{
		Seal: func(o Object, dst io.Writer, body io.Reader, buf []byte) (map[string]string, error) {
			opts := &sse.EncryptOptions{Cipher: options(aead.AES256GCM, 1).Cipher, Policy: sse.ETagRandom}
			if o.MD5 {
				opts.Policy = sse.ETagMD5
			}
			u, err := sse.Encrypt(ctx, client, sse.Request{Method: sse.S3}, sse.ObjectName{Bucket: o.Bucket, Object: o.Name}, body, opts)
			if err != nil {
				return nil, err
			}
			if err := Copy(dst, u, buf); err != nil {
				return nil, err
			}
			return u.Metadata()
		},
		Open: func(o Object, dst io.Writer, sealed io.ReaderAt, size int64, metadata map[string]string, buf []byte) error {
			obj, err := sse.Open(ctx, client, sse.ObjectName{Bucket: o.Bucket, Object: o.Name}, sse.Stored{Metadata: metadata, Size: size}, nil)
			if err != nil {
				return err
			}
			r, err := obj.NewReader(ctx, sse.FetchReaderAt(sealed), sse.Whole)
			if err != nil {
				return err
			}
			if err := Copy(dst, r, buf); err != nil {
				return err
			}
			if want := sse.Content; o.MD5 && r.Integrity().Level != want {
				return errors.New("peers: the content was not verified")
			}
			return r.Close()
		},
	}
}

// Client returns a client of the built-in key.
func Client(key *[KeySize]byte) (*kms.Client, error) {
	named, err := static.NewKey(KeyName)
	if err != nil {
		return nil, err
	}
	copy(named.Bytes(), key[:])
	backend, err := static.New([]static.Key{named}, "")
	if err != nil {
		return nil, err
	}
	return kms.NewClient(backend, nil), nil
}
