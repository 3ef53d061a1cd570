package gocloud_test

import (
	"context"
	"fmt"
	"log"

	_ "gocloud.dev/secrets/localsecrets" // the driver, here one without a server

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/gocloud"
)

// The URL of a real key would be one of awskms, gcpkms, azurekeyvault or
// hashivault.
func Example() {
	ctx := context.Background()
	backend, err := gocloud.Open(ctx, map[string]string{"photos": "base64key://"}, "photos", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	client := kms.NewClient(backend, nil)

	object := kms.AssociatedData{"bucket": "bucket/object"}
	made, err := client.GenerateKey(ctx, "", object)
	if err != nil {
		log.Fatal(err)
	}
	opened, err := client.Decrypt(ctx, made.KeyID, made.Ciphertext, object)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.KeyID, opened.Equal(made.Key))
	// Output: photos true
}
