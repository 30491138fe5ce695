//! Values by tenant: small numbers are an index, others a key.

use std::collections::BTreeMap;

use crate::unit::TenantId;

/// Values by tenant. The small numbers of scenarios are an index, others a key.
#[derive(Debug)]
pub(super) struct ByTenant<T> {
    dense: Vec<T>,
    sparse: BTreeMap<TenantId, T>,
}

const DENSE: usize = 1 << 17;

impl<T> Default for ByTenant<T> {
    fn default() -> ByTenant<T> {
        ByTenant { dense: Vec::new(), sparse: BTreeMap::new() }
    }
}

impl<T: Default> ByTenant<T> {
    /// Returns the value, the default one if there was none.
    pub(super) fn at(&mut self, tenant: TenantId) -> &mut T {
        let index = tenant.index();
        if index < self.dense.len() { &mut self.dense[index] } else { self.make(tenant) }
    }

    #[cold]
    fn make(&mut self, tenant: TenantId) -> &mut T {
        let index = tenant.index();
        if index >= DENSE {
            return self.sparse.entry(tenant).or_default();
        }
        self.dense.resize_with(index + 1, T::default);
        &mut self.dense[index]
    }

    /// Returns the value, if there is one.
    pub(super) fn get(&self, tenant: TenantId) -> Option<&T> {
        self.dense.get(tenant.index()).or_else(|| self.sparse.get(&tenant))
    }

    /// Returns all values that were asked for, and perhaps more of small numbers.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.dense.iter().chain(self.sparse.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_numbers_are_kept_alike() {
        let mut values: ByTenant<u32> = ByTenant::default();
        for tenant in [3, DENSE as u32 - 1, DENSE as u32, u32::MAX] {
            assert_eq!(values.get(TenantId(tenant)), None, "{tenant}");
            *values.at(TenantId(tenant)) += 1;
            *values.at(TenantId(tenant)) += tenant / 2;
            assert_eq!(values.get(TenantId(tenant)), Some(&(1 + tenant / 2)));
        }
        let sum: u64 = values.values().map(|value| u64::from(*value)).sum();
        assert_eq!(sum, 4 + 1 + 2 * (DENSE as u64 / 2) - 1 + u64::from(u32::MAX / 2));
    }
}
