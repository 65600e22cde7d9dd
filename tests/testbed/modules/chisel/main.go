// chisel-agents is many clients of one chisel server: chisel-agents URL CA USER:PASSWORD COUNT.
//
// Each asks for one reverse port of loopback, as a cluster's agent would have to.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
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
	for range count {
		client, err := chclient.NewClient(&chclient.Config{
			Server:        url,
			Auth:          auth,
			TLS:           chclient.TLSConfig{CA: ca},
			Remotes:       []string{fmt.Sprintf("R:127.0.0.1:%d:127.0.0.1:1", freePort())},
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

func freePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
