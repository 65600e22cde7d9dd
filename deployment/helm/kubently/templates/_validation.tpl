{{/* What cannot work, said in one place with the key to change. Rendered by validation.yaml, before anything else matters. */}}

{{- define "kubently.validate" -}}
{{- $hasApi := include "kubently.hasApi" . -}}
{{- $mode := include "kubently.tls.mode" . -}}
{{- $store := include "kubently.store" . -}}
{{- $urls := include "kubently.executor.givenUrls" . | splitList " " | compact -}}
{{- $wrong := list -}}

{{- if and $hasApi (eq $mode "external") (not .Values.tls.external.domain) (not .Values.tls.existingSecret) (not .Values.tls.certificate.crt) -}}
{{- $wrong = append $wrong "tls.mode is external, and no name is given: set tls.external.domain, e.g. api.kubently.example.com, or tls.mode: internal" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "none") .Values.tls.internal.endToEnd -}}
{{- $wrong = append $wrong "tls.internal.endToEnd wants TLS, and tls.mode is none: remove one of them" -}}
{{- end -}}
{{- if and .Values.tls.certificate.crt (not .Values.tls.certificate.key) -}}
{{- $wrong = append $wrong "tls.certificate.crt is given without its key: set tls.certificate.key, or make a Secret and name it in tls.existingSecret" -}}
{{- end -}}
{{- if and $hasApi .Values.tls.clientAuth.forwardedHeader (not .Values.api.trustedProxies) -}}
{{- $wrong = append $wrong "tls.clientAuth.forwardedHeader counts from trusted proxies only: set api.trustedProxies to the gateway's networks" -}}
{{- end -}}
{{- if and $hasApi (eq .Values.tls.clientAuth.mode "required") (not (include "kubently.tls.endToEnd" .)) (not .Values.tls.clientAuth.forwardedHeader) -}}
{{- $wrong = append $wrong "tls.clientAuth.mode is required, and no client certificate can reach the API: set tls.internal.endToEnd: true, or tls.clientAuth.forwardedHeader where a gateway ends TLS" -}}
{{- end -}}

{{- if and $hasApi (eq $store "sqlite") (include "kubently.api.isReplicated" .) -}}
{{- $wrong = append $wrong "several replicas share a Redis, and there is none: set redis.enabled: true or externalRedis.url, or api.replicaCount: 1" -}}
{{- end -}}
{{- if and $hasApi .Values.externalRedis.url .Values.redis.enabled -}}
{{- $wrong = append $wrong "redis.enabled and externalRedis.url are both set: remove one of them" -}}
{{- end -}}

{{- if and $hasApi .Values.gateway.httpRoute.enabled (not .Values.gateway.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "gateway.httpRoute belongs to no Gateway: set gateway.httpRoute.parentRefs, e.g. [{name: public, namespace: gateways}]" -}}
{{- end -}}
{{- if and $hasApi .Values.gateway.backendTLSPolicy.enabled (or (not (include "kubently.tls.endToEnd" .)) (not .Values.gateway.backendTLSPolicy.caConfigMap)) -}}
{{- $wrong = append $wrong "gateway.backendTLSPolicy is for a pod that serves TLS: set tls.internal.endToEnd: true, and gateway.backendTLSPolicy.caConfigMap to a ConfigMap with its CA under ca.crt" -}}
{{- end -}}
{{- if and $hasApi .Values.api.continuous.webhooks (not .Values.api.continuous.webhookSecret) -}}
{{- $wrong = append $wrong "api.continuous.webhooks are signed: set api.continuous.webhookSecret to a Secret with the key under secret" -}}
{{- end -}}
{{- if and $hasApi .Values.api.oidc.issuer (not (and .Values.api.oidc.clientId .Values.api.oidc.roles)) -}}
{{- $wrong = append $wrong "api.oidc.issuer lets nobody in alone: set api.oidc.clientId and api.oidc.roles" -}}
{{- end -}}

{{- if include "kubently.hasExecutor" . -}}
{{- with .Values.executor -}}
{{- $id := include "kubently.executor.clusterId" $ -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" $id) -}}
{{- $wrong = append $wrong (printf "executor.clusterId %q is no cluster id: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends" $id) -}}
{{- end -}}
{{- if not $hasApi -}}
{{- if not .clusterId -}}
{{- $wrong = append $wrong "this release has no API, so the cluster needs a name there: set executor.clusterId, e.g. production-cluster-b" -}}
{{- end -}}
{{- if and (not $urls) (not $.Values.tls.external.domain) -}}
{{- $wrong = append $wrong "this release has no API, and executor.apiUrl is missing: set it to https://api.kubently.example.com, or to http://kubently-api.kubently.svc.cluster.local:8080 where the API is in this cluster" -}}
{{- end -}}
{{- if and (eq (include "kubently.executor.credential" $) "certificate") (not (include "kubently.executor.clientCertSecret" $)) -}}
{{- $wrong = append $wrong "the executor has nothing to prove who it is: set executor.enrolment.existingSecret (kubently cluster add prints the Secret), executor.existingSecret, or executor.tls.clientCert.secret" -}}
{{- end -}}
{{- if and (eq $.Values.tls.mode "internal") (include "kubently.executor.isRemote" $) (not (include "kubently.executor.caPaths" $)) -}}
{{- $wrong = append $wrong "tls.mode internal makes a CA that other clusters do not trust: use tls.mode external in the API's cluster and remove tls.mode here, or give its CA to executor.tls.caBundle" -}}
{{- end -}}
{{- end -}}
{{- range $urls -}}
{{- $host := include "kubently.hostOf" . -}}
{{- if not (regexMatch "^https?://[^/ ]+" .) -}}
{{- $wrong = append $wrong (printf "executor.apiUrl %q is no URL: write https://host[:port]" .) -}}
{{- else if and (hasPrefix "http://" .) (not (include "kubently.isInside" $host)) (not $.Values.executor.allowInsecureHttp) -}}
{{- $wrong = append $wrong (printf "executor.apiUrl %q sends the token in clear to a host outside of the cluster: use https://, or set executor.allowInsecureHttp: true" .) -}}
{{- end -}}
{{- end -}}
{{- $verify := get .env "KUBENTLY_SSL_VERIFY" | toString | lower -}}
{{- if and (has $verify (list "false" "0" "no" "off")) (not .tls.insecureAcknowledged) -}}
{{- $wrong = append $wrong "executor.env.KUBENTLY_SSL_VERIFY switches verification off, so anybody on the way can read and answer for the API: give the CA to executor.tls.caBundle, or set executor.tls.insecureAcknowledged: true" -}}
{{- end -}}
{{- if and (not .tls.caBundle.includeSystem) (not (include "kubently.executor.caPaths" $)) -}}
{{- $wrong = append $wrong "executor.tls.caBundle.includeSystem is false, and there is nothing else to trust: set executor.tls.caBundle.configMap, secret, pem or path" -}}
{{- end -}}
{{- if and .tls.clientCert.certManager.enabled (not .tls.clientCert.certManager.issuer) -}}
{{- $wrong = append $wrong "executor.tls.clientCert.certManager needs the issuer that the API trusts: set executor.tls.clientCert.certManager.issuer" -}}
{{- end -}}
{{- $names := list "tmp" "policy" "token" "client-tls" -}}
{{- range include "kubently.executor.bundles" $ | fromYamlArray }}{{ if .source }}{{ $names = append $names .name }}{{ end }}{{ end -}}
{{- range concat .volumes .extraVolumes -}}
{{- if has .name $names -}}
{{- $wrong = append $wrong (printf "two volumes of the executor are named %q: rename the one in executor.volumes or executor.extraVolumes" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- else if not $hasApi -}}
{{- $wrong = append $wrong "neither the API nor an executor is to be installed: set api.enabled: true or executor.enabled: true" -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* What works and is risky, one line each; NOTES.txt shows it. */}}
{{- define "kubently.warnings" -}}
{{- $hasApi := include "kubently.hasApi" . -}}
{{- $urls := include "kubently.executor.givenUrls" . | splitList " " | compact -}}
{{- $examples := list "your-executor-token" "remote-executor-token" "changeme" "token" "secret" "example" -}}
{{- $said := list -}}
{{- if include "kubently.hasExecutor" . -}}
{{- with .Values.executor -}}
{{- if has (lower .token) $examples -}}
{{- $said = append $said "executor.token is an example of a document: it never lets anybody in. Make one: kubently token create CLUSTER, or kubently cluster add CLUSTER." -}}
{{- else if .token -}}
{{- $said = append $said "executor.token stays readable in Helm's release Secret: put it in a Secret and name that in executor.existingSecret." -}}
{{- end -}}
{{- if and (kindIs "invalid" $.Values.api.enabled) (include "kubently.executor.isRemote" $) -}}
{{- $said = append $said "No API was installed, because executor.apiUrl names one elsewhere. Say it: api.enabled: false." -}}
{{- else if and $hasApi (include "kubently.executor.isRemote" $) -}}
{{- $said = append $said "An API was installed here, and the executor uses another: set api.enabled: false where there is only an executor." -}}
{{- else if and $hasApi .token (not $urls) (not .clusterId) -}}
{{- $said = append $said "An API was installed too. For an executor alone set api.enabled: false, executor.apiUrl and executor.clusterId." -}}
{{- end -}}
{{- range $urls -}}
{{- if contains ".istio-system" (include "kubently.hostOf" .) -}}
{{- $said = append $said "executor.apiUrl names istio-system, where the mesh's gateway is and the API is not: inside the mesh use http://kubently-api.<namespace>.svc.cluster.local:8080 and let the sidecar add mutual TLS." -}}
{{- end -}}
{{- end -}}
{{- if .tls.insecureAcknowledged -}}
{{- $said = append $said "The executor may accept any certificate (executor.tls.insecureAcknowledged): anybody on the way can answer for the API." -}}
{{- end -}}
{{- if .allowInsecureHttp -}}
{{- $said = append $said "Token and answers may travel in clear (executor.allowInsecureHttp)." -}}
{{- end -}}
{{- range concat .volumeMounts .extraVolumeMounts -}}
{{- if eq (trimSuffix "/" .mountPath) "/etc/ssl/certs" -}}
{{- $said = append $said (printf "The volume %s is mounted over /etc/ssl/certs and hides the system's roots: use executor.tls.caBundle, which adds to them." .name) -}}
{{- end -}}
{{- end -}}
{{- $mounted := list -}}
{{- range concat .volumeMounts .extraVolumeMounts }}{{ $mounted = append $mounted .name }}{{ end -}}
{{- range .volumes -}}
{{- if and (or .configMap .secret) (not (has .name $mounted)) -}}
{{- $said = append $said (printf "The volume %s is mounted nowhere, so it was taken for a bundle of CAs: it is at /etc/kubently/trust/%s and trusted. executor.tls.caBundle says the same plainly." .name .name) -}}
{{- end -}}
{{- end -}}
{{- range .extraVolumes -}}
{{- if not (has .name $mounted) -}}
{{- $said = append $said (printf "The volume %s of executor.extraVolumes is mounted nowhere: add it to executor.extraVolumeMounts." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $hasApi -}}
{{- if eq (include "kubently.tls.mode" .) "none" -}}
{{- $said = append $said "No TLS: keys, tokens and answers travel in clear between clients and the Ingress. Set tls.enabled: true." -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.ingressControllerNamespace) (or (include "kubently.hasIngress" .) .Values.gateway.httpRoute.enabled) -}}
{{- $said = append $said "Every pod of the cluster may reach the API's port, since nothing says where the ingress controller is: set networkPolicy.ingressControllerNamespace." -}}
{{- end -}}
{{- range .Values.networkPolicy.ingress -}}
{{- range .from -}}
{{- if hasKey (dig "namespaceSelector" "matchLabels" dict .) "name" -}}
{{- $said = append $said "networkPolicy.ingress selects namespaces by the label name, which they do not have by themselves: use kubernetes.io/metadata.name." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "kubently.hasRedis" .) (not .Values.redis.auth.enabled) -}}
{{- $said = append $said "Redis wants no password (redis.auth.enabled): every pod that reaches it can make itself an executor." -}}
{{- end -}}
{{- if .Values.tls.certificate.key -}}
{{- $said = append $said "tls.certificate.key stays readable in Helm's release Secret: make a TLS Secret and name it in tls.existingSecret." -}}
{{- end -}}
{{- end -}}
{{- join "\n" $said -}}
{{- end -}}
