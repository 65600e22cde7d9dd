// chisel-agents is many clients of one chisel server: chisel-agents URL CA USER:PASSWORD COUNT.
//
// Each asks for a reverse port, as a cluster's agent would have to, on a loopback address of its own.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	chclient "github.com/jpillora/chisel/client"
)

func main() {
	url, ca, auth := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	for number := range count {
		// An address for each, because ports that are free now may not be so when the server listens.
		own := fmt.Sprintf("127.1.%d.%d", number/250, number%250+1)
		client, err := chclient.NewClient(&chclient.Config{
			Server:        url,
			Auth:          auth,
			TLS:           chclient.TLSConfig{CA: ca},
			Remotes:       []string{"R:" + own + ":8080:127.0.0.1:1"},
			MaxRetryCount: -1,
		})
		if err != nil {
			log.Fatal(err)
		}
		client.Logger.Info = false
		if err := client.Start(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	select {}
}
