package sse_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/sse"
)

// writer is a backend for a program that binds data keys to something else.
type writer struct {
	*kmstest.Backend
	binds func(kms.AssociatedData) kms.AssociatedData
}

func (w writer) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	return w.Backend.GenerateKey(ctx, keyID, w.binds(ad))
}

// TestDiagnose: the key server says not authentic to all of these. The fake is
// like a server: it does not try its keys.
func TestDiagnose(t *testing.T) {
	bucket := sse.ObjectName{Bucket: "bucket", Object: "dir//object"} // MinIO cleans the path
	withContext := sse.Request{Method: sse.KMS, KMSKeyID: "key-1", Context: kms.AssociatedData{"dept": "finance"}}
	for name, tt := range map[string]struct {
		request  sse.Request
		binds    func(kms.AssociatedData) kms.AssociatedData
		recreate bool
		written  time.Time
		kind     sse.Kind
		requests [2]int // decrypt, describe
	}{
		"without the pair": {withContext, func(kms.AssociatedData) kms.AssociatedData {
			return kms.AssociatedData{"dept": "finance"}
		}, false, time.Time{}, sse.KindWrongContext, [2]int{1, 0}},
		"without anything": {withContext, func(kms.AssociatedData) kms.AssociatedData { return nil }, false, time.Time{}, sse.KindWrongContext, [2]int{2, 0}},
		"without the context": {withContext, func(kms.AssociatedData) kms.AssociatedData {
			return kms.AssociatedData{"bucket": "bucket/dir/object"}
		}, false, time.Time{}, sse.KindWrongContext, [2]int{3, 0}},
		"the name as it is spelled": {sse.Request{Method: sse.S3, KMSKeyID: "key-1"}, func(kms.AssociatedData) kms.AssociatedData {
			return kms.AssociatedData{"bucket": "bucket/dir//object"}
		}, false, time.Time{}, sse.KindWrongContext, [2]int{2, 0}},
		"something else": {withContext, func(kms.AssociatedData) kms.AssociatedData {
			return kms.AssociatedData{"other": "other"}
		}, false, time.Time{}, sse.KindNotAuthentic, [2]int{4, 0}},
		"key made again": {withContext, func(ad kms.AssociatedData) kms.AssociatedData { return ad }, true,
			time.Now().Add(-time.Second), sse.KindKeyRecreated, [2]int{4, 1}},
		"key made again, the object is younger": {withContext, func(ad kms.AssociatedData) kms.AssociatedData { return ad }, true,
			time.Now().Add(time.Hour), sse.KindNotAuthentic, [2]int{4, 1}},
		"key made again, the object's age is not known": {withContext, func(ad kms.AssociatedData) kms.AssociatedData { return ad }, true,
			time.Time{}, sse.KindNotAuthentic, [2]int{4, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := kmstest.NewBackend("key-1")
			s := seal(t, kms.NewClient(writer{b, tt.binds}, nil), tt.request, bucket, nil, nil)
			if tt.recreate {
				b.Delete("key-1")
				if err := b.CreateKey(t.Context(), "key-1"); err != nil {
					t.Fatal(err)
				}
			}
			client := kms.NewClient(b, nil)
			_, err := s.open(client, bucket, nil)
			if sse.KindOf(err) != sse.KindNotAuthentic {
				t.Fatal(err)
			}
			decrypts := b.Calls(kms.OpDecrypt)
			if decrypts != 1 {
				t.Errorf("Open asked %d times", decrypts)
			}
			found := sse.Diagnose(t.Context(), client, bucket, s.Metadata, tt.written, err)
			if got := sse.KindOf(found); got != tt.kind {
				t.Errorf("%s, want %s: %v", got, tt.kind, found)
			}
			if got := [2]int{b.Calls(kms.OpDecrypt) - decrypts, b.Calls(kms.OpDescribeKey)}; got != tt.requests {
				t.Errorf("asked %v times, want %v", got, tt.requests)
			}
			if !errors.Is(found, kms.ErrNotAuthentic) || sse.ErrorResponse(found).Status != http.StatusBadRequest {
				t.Errorf("not what clients are told: %v", found)
			}
			if tt.kind == sse.KindNotAuthentic && found != err {
				t.Errorf("without evidence it became another error: %v", found)
			}
			if again := sse.Diagnose(t.Context(), client, bucket, s.Metadata, tt.written, found); tt.kind != sse.KindNotAuthentic && again != found {
				t.Errorf("diagnosed twice: %v", again)
			}
		})
	}
}

// TestDiagnoseAsksNobody: other errors, and objects without a key server, stay
// as they are.
func TestDiagnoseAsksNobody(t *testing.T) {
	b := kmstest.NewBackend("key-1")
	client := kms.NewClient(b, nil)
	name := sse.ObjectName{Bucket: "bucket", Object: "object"}
	s3 := seal(t, client, sse.Request{Method: sse.S3}, name, nil, nil)
	c := seal(t, nil, sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}, name, nil, nil)
	for _, err := range []error{nil, kms.ErrKeyNotFound, kms.ErrUnreachable, sse.ErrNotAuthentic, context.Canceled} {
		if got := sse.Diagnose(t.Context(), client, name, s3.Metadata, time.Now(), err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	for what, metadata := range map[string]map[string]string{"SSE-C": c.Metadata, "none": nil} {
		if got := sse.Diagnose(t.Context(), client, name, metadata, time.Now(), kms.ErrNotAuthentic); got != kms.ErrNotAuthentic {
			t.Errorf("%s: %v", what, got)
		}
	}
	if got := sse.Diagnose(t.Context(), nil, name, s3.Metadata, time.Now(), kms.ErrNotAuthentic); got != kms.ErrNotAuthentic {
		t.Errorf("no client: %v", got)
	}
	if n := b.Calls(kms.OpDecrypt) + b.Calls(kms.OpDescribeKey); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
