//! The tables themselves: what `groups!`, `variants!` and `words!` make of a type and its words. Each
//! makes it writable, and readable where it says `both`; the words of all types of a table stand in the
//! constant that it is given a name for.

/// Tables of structs: `Type = "what it is" { field: "key", other: "key" or default }`.
macro_rules! groups {
    (written $list:ident; $($type:ident = $title:literal {
        $($field:ident: $key:literal $(or $default:expr)?),* $(,)?
    })*) => {
        pub(in crate::journal) const $list: &[$crate::journal::wire::Words] =
            &[$(($title, &[$($key),*])),*];
        $(
            impl $crate::journal::wire::ToWire for $type {
                fn write(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                    let $type { $($field),* } = self;
                    let mut to = $crate::journal::wire::Fields::open(out)?;
                    $($crate::journal::table::put!(to, $key, $field $(, $default)?);)*
                    to.close()
                }
            }
        )*
    };
    (both $list:ident; $($type:ident = $title:literal {
        $($field:ident: $key:literal $(or $default:expr)?),* $(,)?
    })*) => {
        $crate::journal::table::groups! {
            written $list; $($type = $title { $($field: $key $(or $default)?),* })*
        }
        $(
            impl $crate::journal::wire::FromWire for $type {
                fn read(value: &serde_json::Value) -> Result<$type, $crate::journal::wire::Misread> {
                    let mut from = $crate::journal::wire::Object::of(value)?;
                    let read = $type {
                        $($field: $crate::journal::table::take!(from, $key $(, $default)?)),*
                    };
                    from.finish(&[$($key),*])?;
                    Ok(read)
                }
            }
        )*
    };
}

macro_rules! put {
    ($to:ident, $key:literal, $field:ident) => {
        $to.put($key, $field)?
    };
    ($to:ident, $key:literal, $field:ident, $default:expr) => {
        $to.put_unless($key, $field, &$default)?
    };
}

macro_rules! take {
    ($from:ident, $key:literal) => {
        $from.take($key)?
    };
    ($from:ident, $key:literal, $default:expr) => {
        $from.take_or($key, $default)?
    };
}

/// Tables of enums: `Type = "what it is" { Bare => "word", With(a, b) => "word", Of { field: "key" } =>
/// "word" }`.
macro_rules! variants {
    (written $list:ident; $($type:ident = $title:literal { $(
        $variant:ident $(($($part:ident),+))? $({ $($field:ident: $key:literal),+ $(,)? })?
            => $word:literal
    ),+ $(,)? })*) => {
        pub(in crate::journal) const $list: &[$crate::journal::wire::Words] =
            &[$(($title, &[$($word $($(, concat!($word, ".", $key))+)?),+])),*];
        $(
            impl $crate::journal::wire::ToWire for $type {
                fn write(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                    match self {
                        $($type::$variant $(($($part),+))? $({ $($field),+ })? => {
                            $crate::journal::table::write_variant!(
                                out, $word $(($($part),+))? $({ $($field: $key),+ })?
                            )
                        })+
                    }
                }
            }
        )*
    };
    (both $list:ident; $($type:ident = $title:literal { $(
        $variant:ident $(($($part:ident),+))? $({ $($field:ident: $key:literal),+ $(,)? })?
            => $word:literal
    ),+ $(,)? })*) => {
        $crate::journal::table::variants! { written $list; $($type = $title { $(
            $variant $(($($part),+))? $({ $($field: $key),+ })? => $word
        ),+ })* }
        $(
            impl $crate::journal::wire::FromWire for $type {
                fn read(value: &serde_json::Value) -> Result<$type, $crate::journal::wire::Misread> {
                    let (word, contents) = $crate::journal::wire::Contents::of(value)?;
                    let read = || match word {
                        $($word => $crate::journal::table::read_variant!(
                            contents, $type::$variant $(($($part),+))? $({ $($field: $key),+ })?
                        ),)+
                        _ => Ok(None),
                    };
                    match read().map_err(|error: $crate::journal::wire::Misread| error.within(word))? {
                        Some(read) => Ok(read),
                        None => Err($crate::journal::wire::unknown(word, &[$($word),+])),
                    }
                }
            }
        )*
    };
}

macro_rules! write_variant {
    ($out:ident, $word:literal) => {
        $crate::journal::wire::word($out, $word)
    };
    ($out:ident, $word:literal ($($part:ident),+)) => {
        $crate::journal::wire::word_of($out, $word, &[$($part),+])
    };
    ($out:ident, $word:literal { $($field:ident: $key:literal),+ }) => {{
        $out.write_str(concat!("{\"", $word, "\":"))?;
        let mut to = $crate::journal::wire::Fields::open(&mut *$out)?;
        $(to.put($key, $field)?;)+
        to.close()?;
        $out.write_char('}')
    }};
}

macro_rules! read_variant {
    ($contents:ident, $type:ident::$variant:ident) => {
        $contents.none().map(|()| Some($type::$variant))
    };
    ($contents:ident, $type:ident::$variant:ident ($part:ident)) => {
        $crate::journal::wire::FromWire::read($contents.one()?).map($type::$variant).map(Some)
    };
    ($contents:ident, $type:ident::$variant:ident ($one:ident, $two:ident)) => {{
        let parts = $contents.several::<2>()?;
        let ($one, $two) = (
            $crate::journal::wire::at(parts, 0)?,
            $crate::journal::wire::at(parts, 1)?,
        );
        Ok(Some($type::$variant($one, $two)))
    }};
    ($contents:ident, $type:ident::$variant:ident ($one:ident, $two:ident, $three:ident)) => {{
        let parts = $contents.several::<3>()?;
        let ($one, $two, $three) = (
            $crate::journal::wire::at(parts, 0)?,
            $crate::journal::wire::at(parts, 1)?,
            $crate::journal::wire::at(parts, 2)?,
        );
        Ok(Some($type::$variant($one, $two, $three)))
    }};
    ($contents:ident, $type:ident::$variant:ident { $($field:ident: $key:literal),+ }) => {{
        let mut from = $crate::journal::wire::Object::of($contents.one()?)?;
        let read = $type::$variant { $($field: from.take($key)?),+ };
        from.finish(&[$($key),+])?;
        Ok(Some(read))
    }};
}

/// Enums that have their words themselves, since others use them too: `Type::method = "what it is"
/// { Variant, .. }`.
macro_rules! words {
    (written $list:ident; $($type:ident::$word:ident = $title:literal {
        $($variant:ident),+ $(,)?
    })*) => {
        pub(in crate::journal) const $list: &[$crate::journal::wire::Words] =
            &[$(($title, &[$($type::$variant.$word()),+])),*];
        $(
            impl $crate::journal::wire::ToWire for $type {
                fn write(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                    // The table names every variant, or this is not compiled.
                    match self {
                        $($type::$variant)|+ => $crate::journal::wire::word(out, self.$word()),
                    }
                }
            }
        )*
    };
    (both $list:ident; $($type:ident::$word:ident = $title:literal {
        $($variant:ident),+ $(,)?
    })*) => {
        $crate::journal::table::words! {
            written $list; $($type::$word = $title { $($variant),+ })*
        }
        $(
            impl $crate::journal::wire::FromWire for $type {
                fn read(value: &serde_json::Value) -> Result<$type, $crate::journal::wire::Misread> {
                    $crate::journal::wire::word_in(value, &[$($type::$variant),+], $type::$word)
                }
            }
        )*
    };
}

pub(super) use {groups, put, read_variant, take, variants, words, write_variant};
