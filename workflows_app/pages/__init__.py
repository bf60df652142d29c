"""The console's pages: one module per page. They read through `access` and `queries`, act through
`services`, and render templates; they hold no rule of their own."""
