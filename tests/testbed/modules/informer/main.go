// Informer lists and watches the pods of a namespace as client-go does for operators and dashboards, and prints one
// line of JSON for each thing that happens: {"event": "synced|added|updated|deleted|failed", "pod": NAME}.
//
// It runs until it is stopped by a signal, or until a pod of the name --until is deleted. Whether the initial list comes
// as a list or as a watch is client-go's decision; KUBE_FEATURE_WatchListClient=true|false is its own switch for it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

var printing sync.Mutex

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of a kubeconfig")
	contextName := flag.String("context", "", "context in it; its current one without")
	namespace := flag.String("namespace", "default", "namespace of the pods")
	last := flag.String("until", "", "end when this pod is deleted")
	flag.Parse()
	if err := run(*kubeconfig, *contextName, *namespace, *last); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig, contextName, namespace, last string) error {
	client, err := connect(kubeconfig, contextName)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	err = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		say("failed", err.Error())
	})
	if err != nil {
		return err
	}
	handlers := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { say("added", nameOf(object)) },
		UpdateFunc: func(_, object any) { say("updated", nameOf(object)) },
		DeleteFunc: func(object any) {
			name := nameOf(object)
			say("deleted", name)
			if name == last {
				stop()
			}
		},
	}
	registration, err := informer.AddEventHandler(handlers)
	if err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		say("synced", "")
	}
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func connect(kubeconfig, contextName string) (kubernetes.Interface, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: contextName}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func nameOf(object any) string {
	if unknown, missed := object.(cache.DeletedFinalStateUnknown); missed {
		return unknown.Key
	}
	if pod, is := object.(*corev1.Pod); is {
		return pod.Name
	}
	return fmt.Sprintf("%T", object)
}

func say(event, pod string) {
	line, _ := json.Marshal(map[string]string{"event": event, "pod": pod})
	printing.Lock()
	defer printing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}
