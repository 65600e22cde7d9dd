// Data alone: the custom resources that the chart renders, or that examples show.
module kubently.test/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2 // indirect
	github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
	istio.io/api v1.31.1 // indirect
	sigs.k8s.io/gateway-api v1.6.3 // indirect
)
