package static_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

// A key in the form of MINIO_KMS_SECRET_KEY seals data keys, one an object.
func Example() {
	key, err := static.ParseKey("my-key:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8=")
	if err != nil {
		log.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		log.Fatal(err)
	}
	client := kms.NewClient(backend, nil)

	object := kms.AssociatedData{"bucket": "bucket/object"}
	made, err := client.GenerateKey(context.Background(), "", object)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.KeyID, len(made.Ciphertext), made.Key)

	opened, err := client.Decrypt(context.Background(), made.KeyID, made.Ciphertext, object)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(opened.Equal(made.Key))

	_, err = client.Decrypt(context.Background(), made.KeyID, made.Ciphertext, kms.AssociatedData{"bucket": "bucket/other"})
	fmt.Println(err)
	// Output:
	// my-key 76 [redacted]
	// true
	// failed to decrypt a data key with key "my-key": ciphertext is not authentic
}

// The key ring of this user is made once and opened ever after. A new key does
// not push out the old ones: what they sealed still opens.
func ExampleCreateRing() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys") // usually static.DefaultRingPath

	_, created, err := static.CreateRing(path)
	fmt.Println(created, err)

	next, err := static.NewKey("next")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(static.AddKey(path, next))

	ring, err := static.OpenRing(path)
	if err != nil {
		log.Fatal(err)
	}
	made, err := ring.GenerateKey(context.Background(), "next", nil)
	fmt.Println(made.KeyID, err)
	// Output:
	// true <nil>
	// <nil>
	// next <nil>
}
