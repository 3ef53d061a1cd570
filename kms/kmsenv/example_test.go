package kmsenv_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
)

// The keys of the MinIO server that this environment is for.
func ExampleLoad() {
	environment := map[string]string{"MINIO_KMS_SECRET_KEY": "my-key:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8="}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok } // nil: the process's own

	client, config, err := kmsenv.Load(lookup, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keys from", config.Source)

	made, err := client.GenerateKey(context.Background(), "", kms.AssociatedData{"bucket": "bucket/object"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.KeyID, len(made.Ciphertext))
	// Output:
	// keys from MINIO_KMS_SECRET_KEY
	// my-key 76
}

// An error tells which variables to look at.
func ExampleError() {
	environment := map[string]string{"MINIO_KMS_KES_ENDPOINT": "https://kes:7373", "MINIO_KMS_KES_KEY_NAME": "app"}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }

	_, _, err := kmsenv.Load(lookup, nil)
	var about *kmsenv.Error
	if errors.As(err, &about) {
		fmt.Println(about)
		fmt.Println(about.Variables, errors.Is(err, kmsenv.ErrIncomplete))
	}
	// Output:
	// kms: incomplete configuration for MinIO KES: missing authentication method
	// [MINIO_KMS_KES_API_KEY MINIO_KMS_KES_CERT_FILE MINIO_KMS_KES_KEY_FILE] true
}
