package keystore_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/keystore"
)

func Example() {
	store, err := keystore.Open("testdata/keys", nil)
	if err != nil {
		log.Fatal(err)
	}
	client := kms.NewClient(store, nil)
	names, err := client.ListKeys(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)

	// What a KES server sealed under it.
	sealed, err := base64.StdEncoding.DecodeString("a44YORDKPEeBkCt0jQW1/t8DikQCzy0SqUpusnra0/drXZWy/cOv/kUCXqoV4pLVQEFCQ0RFRkdISUpLTE1OT2BhYmNkZWZnaGlqaw==")
	if err != nil {
		log.Fatal(err)
	}
	key, err := client.Decrypt(context.Background(), "my-key", sealed, kms.AssociatedData{"bucket": "bucket/object"})
	fmt.Println(key, err)
	// Output:
	// [my-key]
	// [redacted] <nil>
}
