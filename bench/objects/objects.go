// Package objects has implementations of whole sealed objects: everything that an
// S3 backend does for a request, from the data key to the sealed ETag.
package objects

import (
	"context"
	"errors"
	"io"

	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// An Implementation makes SSE-S3 objects under a built-in key, as MinIO stores
// them: data key, sealed object key, metadata, sealed ETag, body.
type Implementation struct {
	Name string
	New  func(key *[peers.KeySize]byte) Codec
}

// An Object says what is sealed. Bucket and name are bound to the sealed key.
type Object struct {
	Bucket, Name string
	MD5          bool // the ETag is the MD5 of the body; else random bytes
}

// A Codec seals and opens objects under one key. buf is for peers.Copy.
type Codec struct {
	Seal func(o Object, dst io.Writer, body io.Reader, buf []byte) (metadata map[string]string, err error)
	// Open checks the ETag too, where that is an MD5.
	Open func(o Object, dst io.Writer, sealed io.ReaderAt, size int64, metadata map[string]string, buf []byte) error
}

// Implementations are all of them.
var Implementations = []Implementation{
	{"objseal", newSSE},
	{"sio", newSIO},
}

// keyName is the name of the built-in key in the metadata.
const keyName = "my-key"

func newSSE(key *[peers.KeySize]byte) Codec {
	client, err := newClient(key)
	if err != nil {
		panic("objects: internal error: " + err.Error())
	}
	ctx := context.Background()
	return Codec{
		Seal: func(o Object, dst io.Writer, body io.Reader, buf []byte) (map[string]string, error) {
			opts := &sse.EncryptOptions{Cipher: stream.AES256GCM, Policy: sse.ETagRandom}
			if o.MD5 {
				opts.Policy = sse.ETagMD5
			}
			u, err := sse.Encrypt(ctx, client, sse.Request{Method: sse.S3}, sse.ObjectName{Bucket: o.Bucket, Object: o.Name}, body, opts)
			if err != nil {
				return nil, err
			}
			if err := peers.Copy(dst, u, buf); err != nil {
				return nil, err
			}
			return u.Metadata()
		},
		Open: func(o Object, dst io.Writer, sealed io.ReaderAt, size int64, metadata map[string]string, buf []byte) error {
			obj, err := sse.Open(ctx, client, sse.ObjectName{Bucket: o.Bucket, Object: o.Name}, sse.Stored{Metadata: metadata, Size: size},
				&sse.OpenOptions{SkipContentCheck: !o.MD5}) // else SSE-S3 ETags are always tried as MD5
			if err != nil {
				return err
			}
			r, err := obj.NewReader(ctx, sse.FetchReaderAt(sealed), sse.Whole)
			if err != nil {
				return err
			}
			if err := peers.Copy(dst, r, buf); err != nil {
				return err
			}
			if want := sse.Content; o.MD5 && r.Integrity().Level != want {
				return errors.New("objects: the content was not verified")
			}
			return r.Close()
		},
	}
}

// newClient returns a client of the built-in key.
func newClient(key *[peers.KeySize]byte) (*kms.Client, error) {
	named, err := static.NewKey(keyName)
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
