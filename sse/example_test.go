package sse_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

// An object is sealed into a file and read back: a range, then the whole. The
// README shows the same code without its error checks.
func Example() {
	ctx := context.Background()
	secretKey := "my-key:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8="
	body := strings.NewReader("hello, sealed world")
	storage, err := os.CreateTemp("", "sealed")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(storage.Name())
	defer storage.Close()

	key, err := static.ParseKey(secretKey) // what MINIO_KMS_SECRET_KEY holds; kmsenv.Load takes whatever is configured
	if err != nil {
		log.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		log.Fatal(err)
	}
	client := kms.NewClient(backend, nil)
	name := sse.ObjectName{Bucket: "bucket", Object: "report.pdf"}

	// Seal: one data key, then ciphertext as fast as the body is read.
	upload, err := sse.Encrypt(ctx, client, sse.Request{Method: sse.S3}, name, body, nil)
	if err != nil {
		log.Fatal(err)
	}
	n, err := upload.WriteTo(storage)
	if err != nil {
		log.Fatal(err)
	}
	metadata, err := upload.Metadata() // store it beside the data
	if err != nil {
		log.Fatal(err)
	}

	// Open: the size is known at once, ranges fetch only what they need.
	object, err := sse.Open(ctx, client, name, sse.Stored{Metadata: metadata, Size: n}, nil)
	if err != nil {
		log.Fatal(err)
	}
	r, err := object.NewReader(ctx, sse.FetchReaderAt(storage), sse.Range{Offset: 7, Length: 6})
	if err != nil {
		log.Fatal(err)
	}
	_, err = r.WriteTo(os.Stdout)
	if err != nil {
		log.Fatal(err)
	}

	whole, err := object.NewReader(ctx, sse.FetchReaderAt(storage), sse.Whole)
	if err != nil {
		log.Fatal(err)
	}
	plain, err := io.ReadAll(whole)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("\n%s\n", plain)
	fmt.Println("verified:", r.Integrity().Level, "and", whole.Integrity().Level)
	fmt.Println(object.Method, object.Size, "bytes of plaintext,", n, "stored")
	// Output:
	// sealed
	// hello, sealed world
	// verified: packages and content
	// SSE-S3 19 bytes of plaintext, 51 stored
}
