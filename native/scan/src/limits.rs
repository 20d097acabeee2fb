//! The limits, with their names and defaults.

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $limit:ident $name:literal = $default:expr;)*) => {
        /// A quantity with a limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $($(#[doc = $doc])+ $limit,)*
        }

        impl Limit {
            /// All limits, in order.
            pub const ALL: &[Limit] = &[$(Limit::$limit,)*];

            /// The name of its option in Elixir.
            pub fn name(self) -> &'static str {
                match self {
                    $(Limit::$limit => $name,)*
                }
            }

            fn default(self) -> u64 {
                match self {
                    $(Limit::$limit => $default,)*
                }
            }
        }
    };
}

// Same names and defaults as in `Wasmex.Limits`; a test compares them.
limits! {
    /// Bytes of a module or a component.
    Size "size" = 256 * MIB;
    /// Bytes of a WAT or WIT text.
    TextSize "text_size" = 16 * MIB;
    /// Items and words of WAT, names and statements of WIT, those that worlds include as often as they do, in about the
    /// bytes that a parser needs for them.
    TextWork "text_work" = GIB;
    /// Nesting of components, of types, and of brackets in WIT.
    Nesting "nesting" = 32;
    /// Modules and components in a component.
    Parts "parts" = 1000;
    /// Instances and canonical functions of a component, counted once for each time they are created. Eight imports,
    /// exports or aliases count as one.
    Instances "instances" = 50_000;
    /// Types.
    Types "types" = 30_000;
    /// Parameters, results, fields, cases and declarations of all types; those of a world that is read, as often as they
    /// are used.
    TypeMembers "type_members" = 1_000_000;
    /// Parts of types that are read where components are instantiated, functions lowered or lifted, and items imported or
    /// exported, as often as they are.
    TypeWork "type_work" = 200_000_000;
    /// Imports.
    Imports "imports" = 100_000;
    /// Exports, also those that instances are made of.
    Exports "exports" = 100_000;
    /// Aliases of a component.
    Aliases "aliases" = 100_000;
    /// Bytes of one name.
    NameSize "name_size" = 64 * KIB;
    /// Bytes of the names of all imports and exports.
    ExternalNames "external_names" = 4 * MIB;
    /// Names in the custom section for names.
    Names "names" = 1_000_000;
    /// Functions.
    Functions "functions" = 100_000;
    /// Bytes of one function.
    FunctionSize "function_size" = 2 * MIB;
    /// Instructions of one function. Loops, calls and instructions that pass many values count as several.
    FunctionWork "function_work" = 1_800_000;
    /// Instructions of all functions that parameters and results count as, and blocks and loops which keep many globals,
    /// locals or references apart.
    Work "work" = 20_000_000;
    /// Local variables of all functions.
    Locals "locals" = 10_000_000;
    /// Globals.
    Globals "globals" = 100_000;
    /// Tags.
    Tags "tags" = 10_000;
    /// Instructions in initial values, run when a module is instantiated.
    Constants "constants" = 30_000;
    /// Tables.
    Tables "tables" = 1000;
    /// Elements of tables known at compile time, including gaps between segments.
    TableElements "table_elements" = 4_000_000;
    /// Memories.
    Memories "memories" = 1000;
    /// Memories whose contents are known at compile time. Each is a file without a name, and takes a file descriptor.
    MemoryImages "memory_images" = 50;
    /// Bytes between data segments whose contents are known at compile time.
    MemoryGaps "memory_gaps" = 64 * MIB;
    /// Data and element segments.
    Segments "segments" = 200_000;
    /// Nesting of entries in debug information.
    DebugNesting "debug_nesting" = 128;
    /// Entries, attributes, rows and paths of debug information, each as often as it is used, in about the bytes that its
    /// parser needs for them. An attribute counts as several, for the time that it takes.
    DebugWork "debug_work" = GIB;
}

impl Limit {
    /// What compiles in a moment. Depths and lengths do not add up, so they stay.
    fn quick(self) -> u64 {
        match self {
            Limit::Nesting | Limit::NameSize | Limit::DebugNesting => self.default(),
            _ => self.default() / QUICK,
        }
    }
}

/// The share of the default limits that code which compiles in a moment has.
const QUICK: u64 = 50;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const COUNT: usize = Limit::ALL.len();

/// The maximum of each quantity.
#[derive(Clone, Debug)]
pub struct Limits {
    most: [u64; COUNT],
    debug: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = Limits {
            most: [0; COUNT],
            debug: false,
        };
        for limit in Limit::ALL {
            limits.set(*limit, limit.default());
        }
        limits
    }
}

impl Limits {
    /// The maximum of this quantity.
    pub fn get(&self, limit: Limit) -> u64 {
        self.most.get(limit as usize).copied().unwrap_or(0)
    }

    /// Limits for code that compiles in a moment: a small share of the defaults, and none above these limits.
    pub fn quick(&self) -> Limits {
        let mut quick = self.clone();
        for limit in Limit::ALL {
            quick.set(*limit, limit.quick().min(self.get(*limit)));
        }
        quick
    }

    /// Whether debug information is read, and so must be scanned.
    pub fn reads_debug(&self) -> bool {
        self.debug
    }

    /// Sets whether debug information is read; by default it is not.
    pub fn read_debug(&mut self, debug: bool) {
        self.debug = debug;
    }

    /// Sets the maximum of this quantity.
    pub fn set(&mut self, limit: Limit, most: u64) {
        if let Some(slot) = self.most.get_mut(limit as usize) {
            *slot = most;
        }
    }
}
