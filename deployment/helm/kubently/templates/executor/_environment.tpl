{{/* The executor's environment as a map. */}}
{{- define "kubently.executor.environment" -}}
{{- $chart := include "kubently.executor.chartEnvironment" . | fromYaml -}}
{{- mergeOverwrite $chart (deepCopy .Values.executor.env) | toYaml -}}
{{- end -}}

{{- define "kubently.executor.chartEnvironment" -}}
{{- $urls := include "kubently.executor.givenUrls" . | splitList " " | compact -}}
{{- if gt (len $urls) 1 }}
KUBENTLY_API_URLS: {{ join "," $urls | quote }}
KUBENTLY_API_URL_ORDER: {{ .Values.executor.apiUrlOrder }}
{{- else }}
KUBENTLY_API_URL: {{ include "kubently.executor.url" . | quote }}
{{- end }}
KUBENTLY_CLUSTER_ID: {{ include "kubently.executor.clusterId" . | quote }}
KUBENTLY_TRANSPORT: {{ .Values.executor.transport }}
KUBENTLY_HEALTH_LISTEN: 0.0.0.0:9090
KUBENTLY_POLICY_FILE: /etc/kubently/policy/policy.yaml
KUBENTLY_TLS_MIN_VERSION: {{ .Values.executor.tls.minVersion | quote }}
{{- $credential := include "kubently.executor.credential" . }}
{{- if eq $credential "token" }}
KUBENTLY_TOKEN_FILE: /etc/kubently/token/token
{{- else if eq $credential "enrolment" }}
KUBENTLY_ENROLMENT_TOKEN_FILE: /etc/kubently/token/token
KUBENTLY_IDENTITY_SECRET: {{ .Release.Namespace }}/{{ include "kubently.executor.identitySecret" . }}
{{- end }}
{{- with .Values.executor.labels }}
{{- $pairs := list }}
{{- range $name, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $name (toString $value)) }}{{ end }}
KUBENTLY_LABELS: {{ join "," $pairs | quote }}
{{- end }}
{{- with include "kubently.executor.caPaths" . }}
KUBENTLY_CA_CERT: {{ . | quote }}
{{- end }}
{{- if not .Values.executor.tls.caBundle.includeSystem }}
KUBENTLY_CA_MODE: exclusive
{{- end }}
{{- with .Values.executor.tls.serverName }}
KUBENTLY_TLS_SERVER_NAME: {{ . }}
{{- end }}
{{- if include "kubently.executor.clientCertSecret" . }}
KUBENTLY_CLIENT_CERT: /etc/kubently/client/tls.crt
KUBENTLY_CLIENT_KEY: /etc/kubently/client/tls.key
{{- end }}
{{- if .Values.executor.tls.insecureAcknowledged }}
KUBENTLY_INSECURE_ACKNOWLEDGED: i-understand
{{- end }}
{{- include "kubently.proxyEnv" . }}
{{- end -}}

{{- define "kubently.executor.clientCertSecret" -}}
{{- with .Values.executor.tls.clientCert -}}
{{- if .secret -}}{{ .secret }}
{{- else if .certManager.enabled -}}{{ include "kubently.executor" $ }}-client-tls
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Bundles of CAs that are mounted: a list of name, path, source. */}}
{{- define "kubently.executor.bundles" -}}
{{- $found := list -}}
{{- with .Values.executor.tls.caBundle -}}
{{- if .pem -}}
{{- $found = append $found (dict "name" "ca-pem" "file" "ca.crt" "source" (dict "configMap" (dict "name" (printf "%s-ca" (include "kubently.executor" $))))) -}}
{{- end -}}
{{- $items := list (dict "key" .key "path" "ca.crt") -}}
{{- with .configMap -}}
{{- $found = append $found (dict "name" "ca-configmap" "file" "ca.crt" "source" (dict "configMap" (dict "name" . "items" $items))) -}}
{{- end -}}
{{- with .secret -}}
{{- $found = append $found (dict "name" "ca-secret" "file" "ca.crt" "source" (dict "secret" (dict "secretName" . "items" $items))) -}}
{{- end -}}
{{- end -}}
{{- if and (include "kubently.executor.usesService" .) (include "kubently.tls.endToEnd" .) -}}
{{- $items := list (dict "key" "ca.crt" "path" "ca.crt") -}}
{{- $found = append $found (dict "name" "ca-internal" "file" "ca.crt" "source" (dict "secret" (dict "secretName" (include "kubently.tls.podSecret" .) "items" $items))) -}}
{{- end -}}
{{- $mounted := list -}}
{{- range concat .Values.executor.volumeMounts .Values.executor.extraVolumeMounts }}{{ $mounted = append $mounted .name }}{{ end -}}
{{- range .Values.executor.volumes -}}
{{- if and (or .configMap .secret) (not (has .name $mounted)) -}}
{{- $found = append $found (dict "name" .name "file" "" "source" (dict)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* What KUBENTLY_CA_CERT says: paths, ':' between. */}}
{{- define "kubently.executor.caPaths" -}}
{{- $paths := list -}}
{{- range include "kubently.executor.bundles" . | fromYamlArray }}{{ $paths = append $paths (printf "/etc/kubently/trust/%s/%s" .name .file | trimSuffix "/") }}{{ end -}}
{{- $paths = append $paths .Values.executor.tls.caBundle.path -}}
{{- $paths | compact | join ":" -}}
{{- end -}}

{{/* Volumes and mounts of the executor's container, which the doctor's pod has too. */}}
{{- define "kubently.executor.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: policy, mountPath: /etc/kubently/policy, readOnly: true}
{{- if ne (include "kubently.executor.credential" .) "certificate" }}
- {name: token, mountPath: /etc/kubently/token, readOnly: true}
{{- end }}
{{- if include "kubently.executor.clientCertSecret" . }}
- {name: client-tls, mountPath: /etc/kubently/client, readOnly: true}
{{- end }}
{{- range include "kubently.executor.bundles" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: /etc/kubently/trust/{{ .name }}, readOnly: true}
{{- end }}
{{- with concat .Values.executor.volumeMounts .Values.executor.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kubently.executor.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 512Mi}
- name: policy
  configMap: {name: {{ include "kubently.executor" . }}}
{{- $credential := include "kubently.executor.credential" . }}
{{- if eq $credential "token" }}
- name: token
  secret:
    secretName: {{ include "kubently.executor.tokenSecret" . }}
    defaultMode: 0440
    items: [{key: {{ include "kubently.executor.tokenKey" . }}, path: token}]
{{- else if eq $credential "enrolment" }}
- name: token
  secret:
    secretName: {{ .Values.executor.enrolment.existingSecret }}
    defaultMode: 0440
    optional: true
    items: [{key: {{ .Values.executor.enrolment.existingSecretKey }}, path: token}]
{{- end }}
{{- with include "kubently.executor.clientCertSecret" . }}
- name: client-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- range include "kubently.executor.bundles" . | fromYamlArray }}
{{- if .source }}
- name: {{ .name }}
  {{- toYaml .source | nindent 2 }}
{{- end }}
{{- end }}
{{- with concat .Values.executor.volumes .Values.executor.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
