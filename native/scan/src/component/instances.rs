//! Instances that a component makes of other components and of core modules.

use super::scopes::Scopes;
use super::sizes::Sizes;
use super::types::extern_name;
use super::{items, sort};
use crate::Limit;
use crate::names::{self, name};
use crate::reader::{Read, Reader};
use crate::tally::Tally;

/// Scans a section of instances.
pub fn section(
    section: &mut Reader,
    tally: &mut Tally,
    scopes: &mut Scopes,
    sizes: &Sizes,
) -> Read<()> {
    for _ in 0..section.u32()? {
        match section.byte()? {
            0x00 => {
                let at = section.at();
                // The compiler goes through its types again for each instance, the validator for each argument.
                let created = scopes.instantiate(section.u32()?);
                let work = created.saturating_mul(sizes.largest());
                tally.add(Limit::TypeWork, work, at)?;
                for _ in 0..section.u32()? {
                    tally.add(Limit::TypeWork, sizes.largest(), section.at())?;
                    name(section, tally)?;
                    sort(section)?;
                    section.u32()?;
                }
            }
            0x01 => {
                scopes.add(1);
                let exports = items(section, scopes)?;
                for _ in 0..exports {
                    tally.add(Limit::Exports, 1, section.at())?;
                    extern_name(section, tally)?;
                    sort(section)?;
                    section.u32()?;
                }
            }
            _ => return section.malformed(),
        }
    }
    Ok(())
}

/// Scans a section of instances of core modules.
pub fn core_section(section: &mut Reader, tally: &mut Tally, scopes: &mut Scopes) -> Read<()> {
    for _ in 0..section.u32()? {
        let limit = match section.byte()? {
            0x00 => {
                section.u32()?;
                Limit::Imports
            }
            0x01 => Limit::Exports,
            _ => return section.malformed(),
        };
        scopes.add(1);
        for _ in 0..items(section, scopes)? {
            tally.add(limit, 1, section.at())?;
            names::external(section, tally)?;
            section.byte()?;
            section.u32()?;
        }
    }
    Ok(())
}
