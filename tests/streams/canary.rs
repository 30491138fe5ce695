//! Draws of every law, as a fingerprint of the platform's mathematics.

use plimsoll::dist::{Dist, ln_gamma, normal_quantile};
use plimsoll::rng::Rng;

/// The bits of many draws, as text.
pub(crate) fn draws() -> String {
    let laws = [
        Dist::exponential(1.5),
        Dist::gamma(2.0, 0.7),
        Dist::lognormal_quantiles(0.4, 1.7),
        Dist::lognormal_mean(3.0, 0.9),
        Dist::weibull(1.0, 0.8),
        Dist::pareto(1.0, 1.7),
        Dist::quantiles(&[(0.0, 0.5), (0.5, 1.0), (1.0, 4.0)]),
        Dist::uniform(2.0, 5.0),
    ];
    let mut rng = Rng::stream(7, "canary");
    let mut text = String::new();
    let mut note = |value: f64| text.push_str(&format!("{:x} ", value.to_bits()));
    for law in laws {
        let law = law.expect("a law");
        (0..400).for_each(|_| note(law.sample(&mut rng)));
    }
    for place in 1..100 {
        let share = f64::from(place) / 100.0;
        note(normal_quantile(share));
        note(ln_gamma(share * 20.0));
        note((share * 9.0).exp());
        note(share.ln());
        note(share.powf(1.3));
    }
    text
}
