// konnectivity-agents is many agents of one Konnectivity server: konnectivity-agents PORT CA CERT KEY COUNT.
//
// Each is what the agent command runs, with its defaults and an identity of its own.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"sigs.k8s.io/apiserver-network-proxy/pkg/agent"
	"sigs.k8s.io/apiserver-network-proxy/pkg/util"
)

func main() {
	port, ca, cert, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	count, err := strconv.Atoi(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	tls, err := util.GetClientTLSConfig(ca, cert, key, "127.0.0.1", nil)
	if err != nil {
		log.Fatal(err)
	}
	never := make(chan struct{})
	for number := range count {
		config := agent.ClientSetConfig{
			Address:         "127.0.0.1:" + port,
			AgentID:         fmt.Sprintf("agent-%d", number),
			SyncInterval:    time.Second,
			ProbeInterval:   time.Second,
			SyncIntervalCap: 10 * time.Second,
			XfrChannelSize:  150,
			DialOptions: []grpc.DialOption{
				grpc.WithTransportCredentials(credentials.NewTLS(tls)),
				grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Hour, PermitWithoutStream: true}),
			},
		}
		set := config.NewAgentClientSet(never, never)
		set.SetServerCounter(agent.NewAggregateServerCounter(nil, agent.NewResponseBasedCounter(set), "default"))
		set.Serve()
	}
	<-never
}
