package blob_test

import (
	"context"
	"fmt"
	"log"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/kms/static"
)

// A file as MinIO would store it, and back.
func Example() {
	ctx := context.Background()
	key, err := static.ParseKey("my-key:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8=")
	if err != nil {
		log.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		log.Fatal(err)
	}
	client := kms.NewClient(backend, nil)

	const path = "config/iam/format.json"
	sealed, err := blob.Seal(ctx, client, []byte(`{"version":1}`), blob.AssociatedData(path), nil)
	if err != nil {
		log.Fatal(err)
	}
	header, err := blob.Parse(sealed)
	if err != nil {
		log.Fatal(err)
	}
	text, form, err := blob.ReadFile(ctx, client, path, "", sealed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, under %s: %s\n", form, header.KeyID, text)
	// Output: sealed, under my-key: {"version":1}
}
