//! The words of the configuration that a journal begins with. The same form is what a decision log's
//! `config_sha256` is of.

use super::table::{groups, variants};
use crate::balance::{
    Admission, BatchSpec, CacheSpec, Config, Degrade, DegradeSpec, Generate, HealthSettings,
    HedgeAfter, HedgeSpec, LimiterLaw, LimiterSpec, Limits, Locality, Match, ModelRule, Order,
    OutlierSettings, OverBudget, PoolSpec, Pressure, Queue, RecoverySettings, ReportFreshness,
    Retry, RouteSpec, STAY_WAIT, ScaleSpec, ShedSpec, StickySpec, Target, TenantLimits, Tenants,
    Timeouts, Waiting,
};
use crate::unit::{Ratio, Span};

groups! { both GROUPS;
    Config = "config" {
        seed: "seed",
        pools: "pools",
        nodes: "nodes",
        routes: "routes",
        expected_output: "expected_output",
        retry: "retry",
        timeouts: "timeouts",
        health: "health",
        queue: "queue",
        view: "view" or ReportFreshness::default(),
        scale: "scale" or Vec::new(),
        hedge: "hedge" or None,
        admission: "admission" or Admission::default(),
        shed: "shed" or None,
        degrade: "degrade" or None,
    }
    Admission = "admission" {
        waiting: "waiting",
        tenants: "tenants" or Tenants::default(),
        quotas: "quotas",
    }
    BatchSpec = "batch" { size: "size", window: "window" }
    CacheSpec = "cache" { entries: "entries", tokens: "tokens", ttl: "ttl", shared: "shared" }
    Degrade = "route degrade" { to: "to", when: "when" }
    DegradeSpec = "degrade" {
        at: "at",
        hysteresis: "hysteresis",
        stay: "stay",
        queue: "queue",
        max_tokens: "max_tokens",
    }
    Generate = "generate" { every: "every", timeout: "timeout" }
    RecoverySettings = "guard" {
        half_open: "half_open",
        silence: "silence",
        credential: "credential",
        outlier: "outlier",
        slow_start: "slow_start",
        probation: "probation",
        panic: "panic",
        generate: "generate",
    }
    HealthSettings = "health" {
        probe_every: "probe_every",
        probe_timeout: "probe_timeout",
        fall: "fall",
        rise: "rise",
        any_answer: "any_answer" or false,
        consecutive: "consecutive",
        eject_base: "eject_base",
        eject_cap: "eject_cap",
        max_share: "max_share",
        recovery: "guard" or RecoverySettings::default(),
        eject_jitter: "eject_jitter" or Ratio::ZERO,
    }
    HedgeSpec = "hedge" {
        after: "after",
        budget: "budget",
        saturation: "saturation",
        prompt_max: "prompt_max",
        paid: "paid" or true,
    }
    LimiterSpec = "limiter" { law: "law", initial: "initial", min: "min", max: "max" }
    Match = "match" {
        classes: "classes",
        tenants: "tenants",
        priority: "priority",
        prompt_min: "prompt_min",
        prompt_max: "prompt_max",
        attributes: "attributes" or Vec::new(),
        session: "session" or None,
        regions: "regions" or Vec::new(),
        model: "model" or None,
    }
    OutlierSettings = "outlier" {
        window: "window",
        volume: "volume",
        margin: "margin",
        failures: "failures",
        slow: "slow",
    }
    PoolSpec = "pool" {
        name: "name",
        strategy: "strategy",
        batch: "batch" or None,
        locality: "locality" or Locality::Anywhere,
        overprovision: "overprovision" or None,
        limits: "limits" or Limits::default(),
        health: "health" or None,
        limiter: "limiter" or None,
    }
    Queue = "queue" { max: "max", max_wait: "max_wait" }
    Retry = "retry" {
        attempts: "attempts",
        base: "base",
        cap: "cap",
        budget: "budget",
        min_per_second: "min_per_second" or 0,
        token_budget: "token_budget" or None,
        minimum_useful: "minimum_useful" or Span::ZERO,
        resume: "resume" or false,
        stay: "stay" or 0,
        stay_wait: "stay_wait" or STAY_WAIT,
        clients: "clients" or true,
    }
    RouteSpec = "route" {
        when: "when",
        to: "to",
        require: "require",
        split: "split" or Vec::new(),
        degrade: "degrade" or None,
        choose: "choose" or None,
        past_policy: "past_policy" or false,
        cache: "cache" or None,
        sticky: "sticky" or None,
        resume: "resume" or None,
    }
    ScaleSpec = "scale" {
        name: "name",
        nodes: "nodes",
        start: "start",
        min: "min",
        max: "max",
        target: "target",
        every: "every",
        down_after: "down_after",
        up_max: "up_max",
        down_max: "down_max",
        tolerance: "tolerance",
        advise: "advise" or false,
    }
    ShedSpec = "shed" { at: "at", hysteresis: "hysteresis" }
    StickySpec = "sticky" { by: "by", hard: "hard", entries: "entries", ttl: "ttl" }
    TenantLimits = "tenant limits" {
        weight: "weight",
        limits: "limits",
        budget: "budget",
        over_budget: "over_budget" or OverBudget::Refuse,
    }
    Tenants = "tenants" { each: "each", named: "named" }
    Timeouts = "timeouts" { first_token: "first_token", silence: "silence" or None, total: "total" }
    ReportFreshness = "view" {
        instance: "instance",
        peers_fresh: "peers_fresh",
        reports_fresh: "reports_fresh",
    }
    Waiting = "waiting" {
        order: "order",
        bands: "bands",
        fair: "fair",
        early_rejection: "early_rejection",
    }
}

variants! { both VARIANTS;
    ModelRule = "choose" {
        Complexity { strong_share: "strong_share", window: "window" } => "complexity",
        Threshold { worth: "worth", prior: "prior", memory: "memory", window: "window" } => "threshold",
        Cascade { accept: "accept" } => "cascade",
        Bandit { worth: "worth", prior: "prior", memory: "memory" } => "bandit",
    }
    HedgeAfter = "hedge after" {
        Fixed(span) => "fixed",
        Quantile(share) => "quantile",
    }
    LimiterLaw = "limiter law" {
        Aimd { above: "above", cut: "cut" } => "aimd",
        Gradient { tolerance: "tolerance", queue: "queue", smoothing: "smoothing" } => "gradient",
    }
    Locality = "locality" {
        Anywhere => "anywhere",
        Origin => "origin",
        Region(region) => "region",
    }
    Order = "order" {
        Fifo => "fifo",
        Edf => "edf",
        Shortest { ageing: "ageing" } => "shortest",
        AdaptiveLifo { after: "after" } => "adaptive_lifo",
    }
    OverBudget = "over budget" {
        Refuse => "refuse",
        Degrade => "degrade",
    }
    Pressure = "pressure" {
        NoRoom => "no_room",
        Waiting(count) => "waiting",
        InFlight(count) => "in_flight",
        Utilisation(share) => "utilisation",
    }
    Target = "scale target" {
        TokensInFlight(tokens) => "tokens_in_flight",
        InFlight(count) => "in_flight",
        Queue(count) => "queue",
        Ttft(span) => "ttft",
    }
}
