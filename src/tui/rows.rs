//! What the table of the live view has rows of.

/// What the table of the live view has rows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RowsOf {
    #[default]
    Nodes,
    /// Nodes as cells, many to a row.
    Grid,
    Pools,
    Regions,
    Classes,
    Tenants,
    Jobs,
}

impl RowsOf {
    /// In the order they are gone through.
    pub(super) const ALL: [RowsOf; 7] = [
        RowsOf::Nodes,
        RowsOf::Grid,
        RowsOf::Pools,
        RowsOf::Regions,
        RowsOf::Classes,
        RowsOf::Tenants,
        RowsOf::Jobs,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            RowsOf::Nodes | RowsOf::Grid => "Nodes",
            RowsOf::Pools => "Pools",
            RowsOf::Regions => "Regions",
            RowsOf::Classes => "Classes",
            RowsOf::Tenants => "Tenants",
            RowsOf::Jobs => "Jobs",
        }
    }

    pub(super) const fn heading(self) -> &'static str {
        match self {
            RowsOf::Nodes | RowsOf::Grid => "NODE",
            RowsOf::Pools => "POOL",
            RowsOf::Regions => "REGION",
            RowsOf::Classes => "CLASS",
            RowsOf::Tenants => "TENANT",
            RowsOf::Jobs => "WORKFLOW",
        }
    }
}
