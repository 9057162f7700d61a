# What the PowerShell scripts share: the prerequisites, docker compose, the services' HTTP answers, coloured lines.
# Works in Windows PowerShell 5.1 and PowerShell 7. ASCII only: 5.1 reads a file without a mark as ANSI.
# It must never print a secret.

Set-StrictMode -Version Latest

$ExitOk = 0
$ExitFailed = 1
$ExitUsage = 2
$ExitUnreachable = 3

$Root = Split-Path -Parent $PSScriptRoot
$WebhookUrl = 'http://127.0.0.1:8080/webhook/tradingview'
$ServiceUrls = [ordered]@{
    brain   = 'http://127.0.0.1:8100'
    risk    = 'http://127.0.0.1:8101'
    execute = 'http://127.0.0.1:8102'
    notify  = 'http://127.0.0.1:8103'
}
$PublishedPorts = @(8080, 8100, 8101, 8102, 8103)
$Overlays = @{
    base = @()
    dev  = @('deployment/docker-compose.dev.yml')
    prod = @('deployment/docker-compose.prod.yml')
    ha   = @('deployment/docker-compose.prod.yml', 'deployment/docker-compose.ha.yml')
}
$DiskFreeGBMin = 5
$BytesPerGB = 1073741824
$HttpTimeoutSeconds = 5
$PollSeconds = 2

function Write-Good {
    param([Parameter(Mandatory)][string]$Text)
    Write-Host "  [ok]   $Text" -ForegroundColor Green
}

function Write-Bad {
    param([Parameter(Mandatory)][string]$Text, [string]$Advice = '')
    Write-Host "  [red]  $Text" -ForegroundColor Red
    if ($Advice) { Write-Host "         -> $Advice" -ForegroundColor Yellow }
}

function Write-Note {
    param([Parameter(Mandatory)][string]$Text)
    Write-Host "  [..]   $Text" -ForegroundColor Gray
}

function Get-ComposeFileArgument {
    # The -f arguments of one way to run: the root file first, its overlays after it.
    param([Parameter(Mandatory)][ValidateSet('base', 'dev', 'prod', 'ha')][string]$Kind)
    $files = @('docker-compose.yml') + $Overlays[$Kind]
    foreach ($file in $files) {
        '-f'
        Join-Path $Root $file
    }
}

function Invoke-Compose {
    # Runs docker compose and shows what it prints; returns nothing, the exit code is in $LASTEXITCODE.
    param(
        [Parameter(Mandatory)][string]$Kind,
        [Parameter(Mandatory)][string[]]$Arguments
    )
    # 5.1 makes every line on stderr an error, and compose reports its progress there.
    $ErrorActionPreference = 'Continue'
    $all = @('compose', '--project-directory', $Root) + @(Get-ComposeFileArgument -Kind $Kind) + $Arguments
    & docker $all | Out-Host
}

function Get-ComposeOutput {
    # Runs docker compose quietly and returns its lines; empty when it fails.
    param(
        [Parameter(Mandatory)][string]$Kind,
        [Parameter(Mandatory)][string[]]$Arguments
    )
    $ErrorActionPreference = 'SilentlyContinue'
    $all = @('compose', '--project-directory', $Root) + @(Get-ComposeFileArgument -Kind $Kind) + $Arguments
    $lines = & docker $all 2>$null
    if ($LASTEXITCODE -ne 0) { return @() }
    return @($lines)
}

function Test-Docker {
    # Whether docker answers and has compose v2; says what to do when not.
    $ErrorActionPreference = 'SilentlyContinue'
    if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
        Write-Bad 'docker is not installed' 'Install Docker Desktop, or Docker Engine with the compose plugin.'
        return $false
    }
    $server = & docker version --format '{{.Server.Version}}' 2>$null
    if ($LASTEXITCODE -ne 0) {
        Write-Bad 'the docker engine does not answer' 'Start Docker Desktop, or: sudo systemctl start docker'
        return $false
    }
    $compose = & docker compose version --short 2>$null
    if ($LASTEXITCODE -ne 0) {
        Write-Bad 'docker compose v2 is missing' 'Install the compose plugin; the old docker-compose does not do.'
        return $false
    }
    Write-Good "docker $server, compose $compose"
    return $true
}

function Test-ComposeFile {
    param([Parameter(Mandatory)][string]$Kind)
    foreach ($file in @('docker-compose.yml') + $Overlays[$Kind]) {
        if (-not (Test-Path (Join-Path $Root $file))) {
            Write-Bad "$file is missing" 'Run the script from a complete checkout of Phoenix 95.'
            return $false
        }
    }
    return $true
}

function Test-DiskSpace {
    $freeGB = [math]::Round((Get-Item $Root).PSDrive.Free / $BytesPerGB, 1)
    if ($freeGB -lt $DiskFreeGBMin) {
        Write-Bad "$freeGB GB free on the disk" "At least $DiskFreeGBMin GB are wanted: docker system prune frees some."
        return $false
    }
    Write-Good "$freeGB GB free on the disk"
    return $true
}

function Test-PortFree {
    param([Parameter(Mandatory)][int]$Port)
    $listener = New-Object System.Net.Sockets.TcpListener ([System.Net.IPAddress]::Loopback, $Port)
    try {
        $listener.Start()
        return $true
    }
    catch {
        return $false
    }
    finally {
        $listener.Stop()
    }
}

function Test-PublishedPort {
    # Whether our ports are free, or held by our own nginx.
    param([Parameter(Mandatory)][string]$Kind)
    $running = @(Get-ComposeOutput -Kind $Kind -Arguments @('ps', '--services', '--status', 'running'))
    if ($running -contains 'nginx') {
        Write-Good 'the ports are held by the running system'
        return $true
    }
    $taken = @($PublishedPorts | Where-Object { -not (Test-PortFree -Port $_) })
    if ($taken.Count -gt 0) {
        Write-Bad "ports in use: $($taken -join ', ')" 'Stop what holds them: Get-NetTCPConnection -State Listen, or ss -ltnp'
        return $false
    }
    Write-Good "ports $($PublishedPorts -join ', ') are free"
    return $true
}

function Test-Prerequisite {
    # Everything a start needs; every fault is told, not only the first.
    param([Parameter(Mandatory)][string]$Kind)
    Write-Host 'Prerequisites'
    $files = Test-ComposeFile -Kind $Kind
    $disk = Test-DiskSpace
    if (-not (Test-Docker)) { return $false }
    $ports = Test-PublishedPort -Kind $Kind
    return ($files -and $disk -and $ports)
}

function Get-PhoenixAnswer {
    # One GET: .Status (0: nobody answers) and .Body (null when it is not JSON).
    param([Parameter(Mandatory)][string]$Url)
    try {
        $answer = Invoke-WebRequest -Uri $Url -UseBasicParsing -TimeoutSec $HttpTimeoutSeconds
        $status = [int]$answer.StatusCode
        $body = $null
        try { $body = $answer.Content | ConvertFrom-Json } catch { $body = $null }
        return [pscustomobject]@{ Status = $status; Body = $body }
    }
    catch {
        $status = 0
        if ($_.Exception.PSObject.Properties['Response'] -and $_.Exception.Response) {
            $status = [int]$_.Exception.Response.StatusCode
        }
        return [pscustomobject]@{ Status = $status; Body = $null }
    }
}

function Get-NotReady {
    # The names of the services that are not ready now.
    foreach ($name in $ServiceUrls.Keys) {
        if ((Get-PhoenixAnswer -Url "$($ServiceUrls[$name])/ready").Status -ne 200) { $name }
    }
}

function Wait-Ready {
    # Waits until all services are ready; false when they are not in time.
    param([Parameter(Mandatory)][int]$TimeoutSeconds)
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    do {
        $waiting = @(Get-NotReady)
        if ($waiting.Count -eq 0) {
            Write-Good ('all services are ready after {0:n0} s' -f $watch.Elapsed.TotalSeconds)
            return $true
        }
        Write-Progress -Activity 'Waiting until Phoenix 95 is ready' -Status ($waiting -join ', ')
        Start-Sleep -Seconds $PollSeconds
    } while ($watch.Elapsed.TotalSeconds -lt $TimeoutSeconds)
    Write-Progress -Activity 'Waiting until Phoenix 95 is ready' -Completed
    Write-Bad "not ready after $TimeoutSeconds s: $($waiting -join ', ')" 'docker compose logs shows why; health_check.ps1 asks again.'
    return $false
}

function Start-Phoenix {
    # The whole of a start: prerequisites, compose up, wait. Returns an exit code.
    param(
        [Parameter(Mandatory)][string]$Kind,
        [Parameter(Mandatory)][int]$TimeoutSeconds,
        [switch]$Build,
        [switch]$NoWait
    )
    if (-not (Test-Prerequisite -Kind $Kind)) { return $ExitUsage }
    Write-Host 'Starting'
    $arguments = @('up', '--detach', '--remove-orphans')
    if ($Build) { $arguments += '--build' }
    Invoke-Compose -Kind $Kind -Arguments $arguments
    if ($LASTEXITCODE -ne 0) {
        Write-Bad 'docker compose up failed' 'What it printed above says which container; docker compose logs NAME says why.'
        return $ExitFailed
    }
    if ($NoWait) { return $ExitOk }
    if (-not (Wait-Ready -TimeoutSeconds $TimeoutSeconds)) { return $ExitFailed }
    Write-Host ''
    Write-Host "  Webhook     $WebhookUrl"
    Write-Host "  Dashboard   $($ServiceUrls['notify'])/dashboard"
    Write-Host "  Positions   $($ServiceUrls['execute'])/positions"
    Write-Host "  Signals     $($ServiceUrls['brain'])/signals"
    Write-Host '  Stop with   ./scripts/stop.ps1'
    return $ExitOk
}

function Get-WebhookSecret {
    # The secret of the running system, read inside its own container; null when it cannot be had.
    param([Parameter(Mandatory)][string]$Kind)
    $command = 'sed -n s/^PHOENIX_WEBHOOK_SECRET=//p $(echo $PHOENIX_ENV_FILE | tr : ''\n'') | tail -n 1'
    $lines = @(Get-ComposeOutput -Kind $Kind -Arguments @('exec', '-T', 'brain', 'sh', '-c', $command))
    if ($lines.Count -eq 0 -or -not $lines[-1]) { return $null }
    return ([string]$lines[-1]).Trim()
}

Export-ModuleMember -Function '*' -Variable @('ExitOk', 'ExitFailed', 'ExitUsage', 'ExitUnreachable', 'WebhookUrl', 'ServiceUrls')
