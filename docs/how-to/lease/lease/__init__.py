"""The derived modules of the example come here: `keepstep derive` writes them."""
