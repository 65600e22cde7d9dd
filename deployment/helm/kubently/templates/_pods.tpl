{{/* Parts of pods. */}}

{{/* A map of environment variables as a list; a value is text, or a map such as {valueFrom: ...}. Those with $(...) last. */}}
{{- define "kubently.env" -}}
{{- $late := dict -}}
{{- range $name, $value := . }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  {{- toYaml $value | nindent 2 }}
{{- else if contains "$(" (toString $value) }}
{{- $_ := set $late $name $value }}
{{- else }}
- name: {{ $name }}
  value: {{ include "kubently.text" $value | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := $late }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* A number of a values file as text: 30, never 3e+01. */}}
{{- define "kubently.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* Proxy variables as a map. */}}
{{- define "kubently.proxyEnv" -}}
{{- with .Values.global.proxy -}}
{{- $direct := printf "localhost,127.0.0.1,.svc,.%s,%s" $.Values.global.clusterDomain (include "kubently.api" $) -}}
{{- with .httpProxy }}
HTTP_PROXY: {{ . | quote }}
{{- end }}
{{- with .httpsProxy }}
HTTPS_PROXY: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
{{- range list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" }}
{{ . }}: {valueFrom: {secretKeyRef: {name: {{ $.Values.global.proxy.existingSecret }}, key: {{ . }}, optional: true}}}
{{- end }}
{{- else if or .httpProxy .httpsProxy }}
NO_PROXY: {{ list $direct .noProxy | compact | join "," | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (list $ pod-level context). */}}
{{- define "kubently.podSecurityContext" -}}
{{- $ := index . 0 -}}
{{- $context := index . 1 -}}
{{- $adapt := $.Values.global.openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") ($.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* (list $ component-values): where pods may run. */}}
{{- define "kubently.placement" -}}
{{- $ := index . 0 -}}
{{- $own := index . 1 -}}
{{- with $own.nodeSelector | default $.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations | default $.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity | default $.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get $own "priorityClassName" }}
priorityClassName: {{ . }}
{{- end }}
{{- with get $own "hostAliases" }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get $own "dnsConfig" }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (list $ "api" podLabels): labels of pods. `app` is what hand-written policies select by. */}}
{{- define "kubently.podLabels" -}}
{{- $ := index . 0 -}}
{{- $fixed := include "kubently.selector" (list $ (index . 1)) | fromYaml -}}
{{- $more := dict "app" (index . 1) "kubently.io/network" (index . 1) -}}
{{- mergeOverwrite (deepCopy $.Values.global.commonLabels) $more (deepCopy (index . 2)) $fixed | toYaml -}}
{{- end -}}

{{/* A probe: (list default given). */}}
{{- define "kubently.probe" -}}
{{- mergeOverwrite (deepCopy (index . 0)) (deepCopy (index . 1)) | toYaml -}}
{{- end -}}
