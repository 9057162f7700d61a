<#
.SYNOPSIS
Sends a bounded number of alerts to a paper system and tells how fast they were taken and how each ended.
.DESCRIPTION
The alerts trade on the paper account. The script asks first, and refuses unless the running EXECUTE says that its mode is
paper. One alert is sent after another is answered, so this is a smoke test of speed; ./scripts/bench.sh measures properly.
Exit codes: 0 every alert was accepted and ended, 1 one was not, 2 refused or something needed is missing,
3 Phoenix cannot be reached.
.PARAMETER Alerts
How many alerts to send, 1 to 500.
.PARAMETER PerSecond
How many at most in a second, 1 to 20. The webhook takes 120 entries a minute of one sender by default.
.PARAMETER Symbol
Which symbol the alerts name.
.PARAMETER Kind
Which start script was used: base, dev, prod or ha; where the secret is read from.
.PARAMETER Force
Do not ask before sending.
.EXAMPLE
./scripts/performance_test.ps1 -Alerts 50 -PerSecond 2
#>
[CmdletBinding()]
param(
    [ValidateRange(1, 500)][int]$Alerts = 50,
    [ValidateRange(1, 20)][int]$PerSecond = 2,
    [ValidatePattern('^[A-Z0-9]{3,20}$')][string]$Symbol = 'BTCUSDT',
    [ValidateSet('base', 'dev', 'prod', 'ha')][string]$Kind = 'base',
    [switch]$Force
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Phoenix95.psm1') -Force

$outcomeWaitSeconds = 60

function Get-Percentile {
    # The nearest-rank percentile of sorted numbers.
    param([double[]]$Sorted, [double]$Share)
    $rank = [math]::Max(1, [math]::Ceiling($Share * $Sorted.Count))
    return $Sorted[$rank - 1]
}

function Send-Alert {
    # Sends one alert: .Milliseconds, .Status, .SignalId (empty when it was not accepted).
    param([string]$Secret, [int]$Number)
    $alert = @{
        secret     = $Secret
        symbol     = $Symbol
        action     = $(if ($Number % 2 -eq 0) { 'buy' } else { 'close' })
        strategy   = 'performance_test'
        confidence = '0.95'
        alert_id   = [guid]::NewGuid().ToString('N')
    }
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    $status = 0
    $signal = ''
    try {
        $answer = Invoke-RestMethod -Method Post -Uri $WebhookUrl -Body ($alert | ConvertTo-Json) `
            -ContentType 'application/json' -TimeoutSec 10
        $status = 200
        $signal = [string]$answer.signal_id
    }
    catch {
        if ($_.Exception.PSObject.Properties['Response'] -and $_.Exception.Response) {
            $status = [int]$_.Exception.Response.StatusCode
        }
    }
    return [pscustomobject]@{ Milliseconds = $watch.Elapsed.TotalMilliseconds; Status = $status; SignalId = $signal }
}

function Wait-Outcome {
    # How each signal ended: a table from outcome to number; 'none' are those without one in time.
    param([string[]]$SignalIds)
    $ended = @{}
    $left = $SignalIds
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    while ($left.Count -gt 0 -and $watch.Elapsed.TotalSeconds -lt $outcomeWaitSeconds) {
        $still = @()
        foreach ($id in $left) {
            $story = Get-PhoenixAnswer -Url "$($ServiceUrls['brain'])/signals/$id"
            if ($story.Body -and $story.Body.outcome) {
                $how = "$($story.Body.outcome.outcome): $($story.Body.outcome.reason)"
                $ended[$how] = 1 + $(if ($ended.ContainsKey($how)) { $ended[$how] } else { 0 })
            }
            else { $still += $id }
        }
        $left = $still
        if ($left.Count -gt 0) { Start-Sleep -Seconds 1 }
    }
    if ($left.Count -gt 0) { $ended['none'] = $left.Count }
    return $ended
}

$ready = Get-PhoenixAnswer -Url "$($ServiceUrls['execute'])/ready"
if ($ready.Status -eq 0 -or -not $ready.Body) {
    Write-Bad 'EXECUTE does not answer or is not ready' './scripts/health_check.ps1 says more.'
    exit $ExitUnreachable
}
if ($ready.Body.mode -ne 'paper') {
    Write-Bad "this system trades in mode $($ready.Body.mode)" 'Alerts are sent to paper systems only; nothing was done.'
    exit $ExitUsage
}
$secret = $env:PHOENIX_WEBHOOK_SECRET
if (-not $secret) {
    if (-not (Test-Docker)) { exit $ExitUsage }
    $secret = Get-WebhookSecret -Kind $Kind
}
if (-not $secret) {
    Write-Bad 'the webhook secret is not known' 'Set PHOENIX_WEBHOOK_SECRET in this shell; it stands in phoenix.env.'
    exit $ExitUsage
}
if (-not $Force) {
    $answer = Read-Host "Send $Alerts alerts for $Symbol, which trade on the paper account? [y/N]"
    if ($answer -notmatch '^[yY]') {
        Write-Note 'nothing was sent'
        exit $ExitUsage
    }
}
$results = @()
for ($number = 0; $number -lt $Alerts; $number++) {
    $result = Send-Alert -Secret $secret -Number $number
    $results += $result
    $pause = (1000 / $PerSecond) - $result.Milliseconds
    if ($pause -gt 0) { Start-Sleep -Milliseconds ([int]$pause) }
}
$accepted = @($results | Where-Object { $_.SignalId })
$sorted = [double[]]@($results | ForEach-Object { $_.Milliseconds } | Sort-Object)
Write-Host 'Alert sent to answer (durable), ms'
Write-Host ('  p50 {0:n1}   p90 {1:n1}   p99 {2:n1}   max {3:n1}' -f `
    (Get-Percentile $sorted 0.5), (Get-Percentile $sorted 0.9), (Get-Percentile $sorted 0.99), $sorted[-1])
foreach ($group in ($results | Group-Object Status | Sort-Object Name)) {
    Write-Host "  HTTP $($group.Name): $($group.Count)"
}
Write-Host 'How they ended'
$ended = @{}
if ($accepted.Count -gt 0) { $ended = Wait-Outcome -SignalIds @($accepted | ForEach-Object { $_.SignalId }) }
foreach ($how in ($ended.Keys | Sort-Object)) { Write-Host "  $($ended[$how])  $how" }
if ($accepted.Count -lt $Alerts -or $ended.ContainsKey('none')) {
    Write-Bad 'not every alert was accepted and ended' 'python3 scripts/phoenix.py doctor says more.'
    exit $ExitFailed
}
Write-Good "all $Alerts alerts were accepted and ended"
exit $ExitOk
