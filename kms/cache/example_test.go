package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/cache"
	"github.com/objseal/objseal/kms/kmstest"
)

func Example() {
	server := kmstest.NewBackend("my-key") // usually a kes.Backend
	cached := cache.New(server, &cache.Options{TTL: time.Minute, Grace: time.Hour})
	defer cached.Close()
	client := kms.NewClient(cached, nil)

	object := kms.AssociatedData{"bucket": "bucket/object"}
	made, err := client.GenerateKey(context.Background(), "my-key", object)
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if _, err := client.Decrypt(context.Background(), made.KeyID, made.Ciphertext, object); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("asked the server", server.Calls(kms.OpDecrypt), "time")
	fmt.Printf("%+v\n", cached.Stats())
	// Output:
	// asked the server 1 time
	// {Hits:2 Misses:1 Shared:0 Graced:0 Evicted:0 Entries:1}
}
