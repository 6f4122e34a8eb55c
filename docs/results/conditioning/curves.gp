# gnuplot curves.gp makes curves.svg; with -e "format='png'", curves.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'curves.'.format
set datafile separator ','
heading = "Training loss on MNIST by normalization, each at its best learning rate"."\n"."Normalization, BNP and adaptive rules as conditioning; MNIST, cpu scale (10000 training images, 300"."\n"."steps, 2 seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'step'
set ylabel 'training loss'
set logscale y
set key top right
of(m, c) = (strcol(1) eq 'MNIST' && strcol(2) eq m) ? column(c) : NaN
plot 'curves.csv' using 3:(of('plain', 4)) every ::1 with linespoints title 'plain', 'curves.csv' using 3:(of('batch norm', 4)) every ::1 with linespoints title 'batch norm', 'curves.csv' using 3:(of('layer norm', 4)) every ::1 with linespoints title 'layer norm', 'curves.csv' using 3:(of('group norm', 4)) every ::1 with linespoints title 'group norm', 'curves.csv' using 3:(of('BNP', 4)) every ::1 with linespoints title 'BNP'
