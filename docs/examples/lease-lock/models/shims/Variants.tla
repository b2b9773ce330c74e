------------------------------- MODULE Variants -------------------------------
\* TLC's stand-in for Apalache's module of this name: a variant is a tagged
\* record. Apalache brings its own and must not find this one.
UNIT == "U_OF_UNIT"
Variant(tag, value) == [tag |-> tag, value |-> value]
VariantTag(variant) == variant.tag
VariantGetUnsafe(tag, variant) == variant.value
VariantGetOrElse(tag, variant, default) ==
    IF variant.tag = tag THEN variant.value ELSE default
================================================================================
